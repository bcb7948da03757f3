"""`run`: learns the stream with each method, and writes tables and figures."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark import workers
from benchmark.cli.options import Command, resume_command
from benchmark.config import RUN_OPTIONS, Execution, Settings
from benchmark.declaration import Option
from benchmark.files import MANIFEST, refuse_foreign
from benchmark.running.request import requested

if TYPE_CHECKING:
    from benchmark.report.table import Table
    from benchmark.results.run import Results

#: Exit status after the user interrupts a run.
INTERRUPTED = 130


def _run(arguments: argparse.Namespace, argv: list[str]) -> int:
    settings, execution, folder = requested(vars(arguments))
    if folder.is_dir():
        from benchmark.storage.lock import check_free

        refuse_foreign(folder, MANIFEST)
        # Check before loading, which takes seconds. The run locks the folder later.
        check_free(folder)
    if arguments.dry_run:
        return dry_run(settings)
    if execution.may_start_workers:
        workers.warm_up()
    results = do_run(settings, execution, folder, argv, resume_command(argv, arguments, folder))
    return INTERRUPTED if results is None else exit_status(results)


COMMAND = Command(
    "run",
    "learn the stream with each method, write tables and figures",
    _run,
    (
        *RUN_OPTIONS.values(),
        Option("dry_run", bool, False, help="check everything, say what the run would take, and end"),
    ),
)


def dry_run(settings: Settings) -> int:
    """Check the settings, and print how many cells there are and what they take: returns the exit status."""
    from benchmark.cli.cost import forecast_table
    from benchmark.planning.estimate import StreamShape, estimate
    from benchmark.planning.preparation import prepare_run
    from benchmark.progress.terminal import loading
    from benchmark.report.text import to_text
    from benchmark.results.blocks import counted

    with loading() as (note, warn):
        prepared = prepare_run(settings, note, warn=warn)
        shape = StreamShape.of(prepared.stream)
        parameters, compute = estimate(prepared.settings, shape)
        note("timing training steps")
        repetitions = len(prepared.settings.repetitions)
        table = forecast_table(settings, shape, prepared.backbone, parameters, compute, repetitions)
    print(to_text(table))
    methods = len(prepared.methods)
    counts = (counted(methods, "method"), counted(repetitions, "repetition"), f"{counted(shape.tasks, 'task')} each")
    print(f"{counted(methods * repetitions, 'cell')}: {', '.join(counts)}.")
    print("Nothing was learned, and nothing was written but decoded images.")
    return 0


def exit_status(results: Results) -> int:
    """Return the exit status of a finished run: 1 if a cell failed, otherwise 0."""
    from benchmark.storage.manifest import FAILED

    return 1 if results.manifest["status"] == FAILED else 0


def do_run(settings: Settings, execution: Execution, folder: Path, argv: list[str], resume: str) -> Results | None:
    """Do a run with checked options, and print its summary.

    Args:
        folder: the run's folder.
        argv: the command line.
        resume: the command that resumes the run.

    Returns:
        The results; None if the user interrupted the run.
    """
    from benchmark.files import StorageError, VanishedError
    from benchmark.planning.preparation import prepare_run
    from benchmark.progress.shown import shown
    from benchmark.progress.terminal import loading
    from benchmark.report.text import to_text
    from benchmark.results.blocks import factors_of, repetitions_text
    from benchmark.running.log import LOG_NAME
    from benchmark.running.manifest import planned_cells
    from benchmark.running.runner import run
    from benchmark.storage.folder import RunFolder
    from methods.errors import UserError

    with loading() as (note, warn):
        prepared = prepare_run(settings, note, warn=warn, elsewhere=execution.elsewhere)
    try:
        cells = planned_cells(prepared.settings, RunFolder(folder))
        repetitions = {(cell["seed"], cell["order"]) for cell in cells}
        if "order" in factors_of(repetitions):
            print(f"Repetitions of each method: {repetitions_text(repetitions)}", file=sys.stderr)
        with shown(prepared.epochs_in_all(cells), execution.quiet, execution.verbose) as progress:
            results = run(prepared, execution, folder, argv, progress.handle)
    except KeyboardInterrupt:
        print(f"\ninterrupted; finished tasks are kept. Go on with: {resume}", file=sys.stderr)
        return None
    except VanishedError:
        raise
    except StorageError as error:
        raise UserError(f"{error}; finished tasks are kept, and this goes on: {resume}") from error
    print(*map(to_text, _shown(results)), sep="\n")
    print(f"Tables, figures and report.html are in {folder}{os.sep}")
    if exit_status(results):
        print(f"Why a method failed, with its traceback, is in {folder / LOG_NAME}", file=sys.stderr)
    return results


def _shown(results: Results) -> list[Table]:
    """The tables of a finished run for the terminal: of a run that reproduces published numbers, these and ours."""
    from benchmark.report.reproduction import reproduction_display
    from benchmark.report.tables import budgets_display, inference_display, summary_display

    reproduction = reproduction_display(results)
    if reproduction:
        return [reproduction]
    others = [inference_display(results), budgets_display(results.manifest)]
    return [summary_display(results), *(table for table in others if table)]
