"""The commands that need torch, once their options are known to be good."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmark.config import Execution, Settings
from benchmark.files import StorageError, VanishedError, reading
from benchmark.planning.describe import describe
from benchmark.planning.describe import to_text as description_text
from benchmark.planning.estimate import StreamShape, estimate
from benchmark.planning.preparation import prepare_run
from benchmark.progress.terminal import TerminalProgress, loading
from benchmark.report.tables import budgets_display, compute_display, storage_display, summary_display
from benchmark.report.text import to_text
from benchmark.report.write import write_report
from benchmark.results.blocks import factors_of, repetitions_text
from benchmark.results.paired_tests import run_statistics
from benchmark.results.reference import check_reference
from benchmark.results.tables import labels_of, read_table
from benchmark.running.manifest import planned_cells
from benchmark.running.runner import run
from benchmark.storage.folder import FAILED, RunFolder
from benchmark.storage.lock import locked
from methods.errors import UserError


def run_command(settings: Settings, execution: Execution, folder: Path, argv: list[str], resume: str) -> int:
    """`run`: returns the exit status."""
    with loading() as (note, warn):
        prepared = prepare_run(settings, note, warn=warn)
    try:
        cells = planned_cells(settings, RunFolder(folder))
        repetitions = {(cell["seed"], cell["order"]) for cell in cells}
        if "order" in factors_of(repetitions):
            print(f"Repetitions of each method: {repetitions_text(repetitions)}", file=sys.stderr)
        with TerminalProgress(prepared.epochs_in_all(cells)) as progress:
            manifest = run(prepared, execution, folder, argv, progress)
    except KeyboardInterrupt:
        print(f"\ninterrupted; finished tasks are kept. Go on with: {resume}", file=sys.stderr)
        return 130
    except VanishedError:
        raise
    except StorageError as error:
        raise UserError(f"{error}; finished tasks are kept, and this goes on: {resume}") from error
    with reading(folder):
        summary, accuracy = (read_table(folder / f"{name}.csv") for name in ("summary", "accuracy"))
    budgets = budgets_display(manifest)
    shown = summary_display(summary, run_statistics(manifest, accuracy), budgets)
    print(*map(to_text, (shown, *filter(None, [budgets]))), sep="\n")
    print(f"Tables, figures and report.html are in {folder}{os.sep}")
    return 1 if manifest["status"] == FAILED else 0


def cost_command(settings: Settings, shape: StreamShape) -> int:
    """`cost`: returns the exit status."""
    parameters, compute = estimate(settings, shape)
    print(to_text(storage_display(parameters)), to_text(compute_display(compute)), sep="\n")
    return 0


def tune_command(settings: Settings, budget: int, out: Path) -> int:
    """`tune`: returns the exit status."""
    from benchmark.running.tune import Tuning, to_text  # the one command that needs Optuna

    with loading() as (note, warn):
        tuning = Tuning(prepare_run(settings, note, tuning=True, warn=warn), budget, out)
    try:
        tasks = len(tuning.pending) * budget * len(tuning.prepared.stream)
        with TerminalProgress(tasks * settings.epochs) as progress:
            found = tuning.run(progress)
    except KeyboardInterrupt:
        print(f"\ninterrupted; the methods that are done are in {out}, the same command goes on", file=sys.stderr)
        return 130
    print(to_text(found))
    print(f"The best specifications are in {out}; run them with --tuned {out}")
    return 0 if len(found) == len(settings.methods) else 1


def describe_command(settings: Settings, shape: StreamShape) -> int:
    """`methods NAME`: returns the exit status."""
    print(description_text(describe(settings, shape)), end="")
    return 0


def report_command(path: Path, reference: str | None = None) -> int:
    """`report`: returns the exit status.

    Args:
        path: of the run's folder.
        reference: the label of another method to compare with from now on, or "all"; None to leave it as it is.

    Raises:
        UserError: the folder holds no run, or none with such a method.
    """
    run = RunFolder(path)
    if reference is not None:
        check_reference(reference, labels_of(run.read_manifest()))
        with locked(path):
            run.write_manifest({**run.read_manifest(), "reference": reference})
    write_report(run)
    print(f"Tables, figures and report.html are in {path}{os.sep}")
    return 0
