"""`report`: makes tables, figures and the page of a run again."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from benchmark.cli.options import Command, reference_option
from benchmark.config import RUN_OPTIONS
from benchmark.storage.folder import RunFolder, run_folder


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's folder, or its name in results/")


def _report(arguments: argparse.Namespace, argv: list[str]) -> int:
    return report_command(run_folder("report", arguments.run), arguments.reference, arguments.seconds)


COMMAND = Command(
    "report",
    "make tables, figures and the page of a run again",
    _report,
    (reference_option("as it was"), RUN_OPTIONS["seconds"]),
    _add_arguments,
)


def report_command(path: Path, reference: str | None = None, seconds: bool = False) -> int:
    """Make a run's report again: returns the exit status.

    Args:
        path: the path of the run's folder.
        reference: the label of another method to compare with from now on, or "all"; None to keep the present one.
        seconds: from now on, show seconds also if cells ran side by side.

    Raises:
        UserError: the folder holds no run, or its run has no such method.
    """
    from benchmark.report.write import write_report
    from benchmark.results.reference import check_reference
    from benchmark.results.run import collect, read
    from benchmark.storage.lock import locked

    run = RunFolder(path)
    changed: dict[str, Any] = {}
    if reference is not None:
        check_reference(reference, run.read_manifest().labels)
        changed["reference"] = reference
    if seconds:
        changed["show_seconds"] = True
    if changed:
        with locked(path):
            run.write_manifest({**run.read_manifest(), **changed})
    manifest = run.read_manifest()
    write_report(read(run) if manifest.kept else collect(run, manifest))
    print(f"Tables, figures and report.html are in {path}{os.sep}")
    return 0
