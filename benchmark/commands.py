"""The commands that need torch, once their options are known to be good."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import pandas as pd
from rich.console import Console

from benchmark.config import Execution, Settings
from benchmark.describe import describe
from benchmark.describe import to_text as description_text
from benchmark.estimate import StreamShape, estimate
from benchmark.files import StorageError, VanishedError, reading
from benchmark.preparation import prepare_run
from benchmark.progress import TerminalProgress, print_warning
from benchmark.report.tables import budgets_display, compute_display, storage_display, summary_display, to_text
from benchmark.report.write import write_report
from benchmark.results import FAILED, RunFolder
from benchmark.runner import run
from methods.errors import UserError


def run_command(settings: Settings, execution: Execution, folder: Path, argv: list[str], resume: str) -> int:
    """`run`: returns the exit status."""
    console = Console(stderr=True)
    with console.status("loading") as status:
        prepared = prepare_run(settings, status.update, warn=partial(print_warning, console))
    try:
        with TerminalProgress(prepared.epochs_in_all) as progress:
            manifest = run(prepared, execution, folder, argv, progress)
    except KeyboardInterrupt:
        print(f"\ninterrupted; finished tasks are kept. Go on with: {resume}", file=sys.stderr)
        return 130
    except VanishedError:
        raise
    except StorageError as error:
        raise UserError(f"{error}; finished tasks are kept, and this goes on: {resume}") from error
    with reading(folder):
        summary, budgets = pd.read_csv(folder / "summary.csv"), budgets_display(manifest)
    print(*map(to_text, (summary_display(summary, settings.orders, budgets), *filter(None, [budgets]))), sep="\n")
    print(f"Tables, figures and report.html are in {folder}{os.sep}")
    return 1 if manifest["status"] == FAILED else 0


def cost_command(settings: Settings, shape: StreamShape) -> int:
    """`cost`: returns the exit status."""
    parameters, compute = estimate(settings, shape)
    print(to_text(storage_display(parameters)), to_text(compute_display(compute)), sep="\n")
    return 0


def tune_command(settings: Settings, budget: int, out: Path) -> int:
    """`tune`: returns the exit status."""
    from benchmark.tune import Tuning, to_text  # the one command that needs Optuna

    console = Console(stderr=True)
    with console.status("loading") as status:
        prepared = prepare_run(settings, status.update, tuning=True, warn=partial(print_warning, console))
        tuning = Tuning(prepared, budget, out)
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


def report_command(path: Path) -> int:
    """`report`: returns the exit status."""
    write_report(RunFolder(path))
    print(f"Tables, figures and report.html are in {path}{os.sep}")
    return 0
