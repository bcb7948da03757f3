"""`compare`: joins runs on the same stream, with ranks and paired tests."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmark.cli.options import Command, reference_option
from benchmark.config import RUN_OPTIONS
from benchmark.storage.folder import folder_to_write, run_folder


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder, or its name in results/")


def _compare(arguments: argparse.Namespace, argv: list[str]) -> int:
    folder = folder_to_write(arguments.out, arguments.name, "compare")
    runs = [run_folder("compare", run) for run in arguments.runs]
    return compare_command(runs, folder, argv, arguments.reference)


COMMAND = Command(
    "compare",
    "join runs on the same stream, with ranks and paired tests",
    _compare,
    (
        replace(RUN_OPTIONS["out"], help="folder of the comparison"),
        replace(RUN_OPTIONS["name"], help="the comparison's folder in DIR; default: compare- and the time"),
        reference_option("that of the first run"),
    ),
    _add_arguments,
)


def compare_command(paths: Sequence[Path], folder: Path, argv: list[str], reference: str | None = None) -> int:
    """Compare runs, and return the exit status.

    Args:
        paths: the runs' folders.
        folder: the comparison's folder, which is made here.
        argv: the command line, for the manifest.
        reference: see results/join.py.

    Raises:
        UserError: the runs cannot be compared, or the folder cannot be used.
    """
    from benchmark.report.tables import inference_display, rank_display, summary_display
    from benchmark.report.text import to_text
    from benchmark.report.write import write_report
    from benchmark.results.join import joined
    from benchmark.results.run import collect

    with joined(paths, folder, argv, reference) as run:
        results = collect(run, run.read_manifest())
        write_report(results)
    print(*map(to_text, filter(None, [summary_display(results), inference_display(results)])), sep="\n")
    if results.statistics.verdict:
        ranks = rank_display(results.statistics)
        print(to_text(ranks) if ranks else f"{results.statistics.verdict}\n")
    print(f"Tables, figures and report.html are in {folder}{os.sep}")
    return 0
