"""`check`: tests on tiny tasks whether a method, a stream or a backbone keeps its contract."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from benchmark.cli.options import Command
from benchmark.config import RUN_OPTIONS
from methods.names import printable


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        nargs="+",
        metavar="FILE|NAME",
        help="a Python file, of which all that it registers is checked, or a method, stream or backbone, with options "
        "or without",
    )


def _check(arguments: argparse.Namespace, argv: list[str]) -> int:
    from benchmark.checks.find import targets

    failed = 0
    for target in targets(arguments.what, arguments.backbone or ""):
        print(printable(str(target)))
        if target.note:
            print(f"note: {printable(target.note)}", file=sys.stderr)
        findings = []
        for finding in target.findings():
            findings.append(finding)
            print(f"  {printable(str(finding))}", flush=True)
        wrong = sum(finding.status != "ok" for finding in findings)
        failed += wrong
        print(f"  {len(findings) - wrong} of {len(findings)} checks passed")
        # Once more, because much may stand below them.
        for finding in findings[:-1]:
            if finding.status == "failed":
                print(f"  {printable(str(finding))}")
        print()
    return 1 if failed else 0


COMMAND = Command(
    "check",
    "whether a method, a stream or a backbone keeps its contract, with what to do where it does not",
    _check,
    (
        RUN_OPTIONS["plugin"],
        replace(RUN_OPTIONS["backbone"], default=None, help="check methods on this backbone; default: on a tiny one"),
    ),
    _add_arguments,
)
