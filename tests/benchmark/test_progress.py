"""What the bars count, with several cells at once and cells that begin again."""

from __future__ import annotations

import pytest

from benchmark.progress import TerminalProgress


def bars(progress: TerminalProgress) -> dict[str, tuple[float, float | None]]:
    """Description -> epochs done, and in all."""
    return {task.description: (task.completed, task.total) for task in progress._bars.tasks}


def test_epochs_are_counted_for_each_cell_and_for_the_run():
    progress = TerminalProgress(epochs=12)
    # One task was learned by an earlier run.
    progress.cell("er, seed 0", 3, 1, 2)
    progress.cell("clr, seed 0, task 2", 1, 0, 4)
    progress.task("er, seed 0", 2, "fungi")
    for name in ("er, seed 0", "er, seed 0", "clr, seed 0, task 2"):
        progress.epoch(name)
    assert bars(progress) == {
        "all methods": (5, 12),
        "er, seed 0: task 2, fungi": (4, 6),
        "clr, seed 0, task 2": (1, 4),
    }
    progress.ended("clr, seed 0, task 2")
    progress.note("drawing tables and figures")
    assert bars(progress) == {"drawing tables and figures": (5, 12), "er, seed 0: task 2, fungi": (4, 6)}


def test_what_was_lost_with_a_worker_is_not_counted():
    progress = TerminalProgress(epochs=6)
    progress.cell("er, seed 0", 3, 0, 2)
    for _ in range(3):
        progress.epoch("er, seed 0")
    # The first task is in the run's folder, half of the second one is lost.
    progress.cell("er, seed 0", 3, 1, 2)
    assert bars(progress) == {"all methods": (2, 6), "er, seed 0": (2, 6)}


def test_failures_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]):
    progress = TerminalProgress(epochs=1)
    # A cell may fail before it begins.
    cause = f"KeyError: '[red]' is {'not ' * 40}there"
    progress.failed("er, seed 0", cause)
    assert capsys.readouterr().err == f"er, seed 0 failed: {cause}\n"
    assert bars(progress) == {"all methods": (0, 1)}
