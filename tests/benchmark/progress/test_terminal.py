"""What the bars count, with several cells at once and cells that begin again."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from benchmark.progress.events import (
    CellBegan,
    CellEnded,
    CellFailed,
    EpochDone,
    Guessing,
    Note,
    TaskBegan,
    Told,
    Warned,
)
from benchmark.progress.terminal import TerminalProgress


def bars(progress: TerminalProgress) -> dict[str, tuple[float, float | None]]:
    """Description -> epochs done, and in all."""
    return {task.description: (task.completed, task.total) for task in progress._bars.tasks}


def test_epochs_are_counted_for_each_cell_and_for_the_run():
    progress = TerminalProgress(epochs=12)
    # One task was learned by an earlier run.
    progress.handle(CellBegan("er, seed 0", 3, 1, 2))
    progress.handle(CellBegan("clr, seed 0, task 2", 1, 0, 4))
    progress.handle(TaskBegan("er, seed 0", 2, "fungi"))
    for name in ("er, seed 0", "er, seed 0", "clr, seed 0, task 2"):
        progress.handle(EpochDone(name))
    assert bars(progress) == {
        "all methods": (5, 12),
        "er, seed 0: task 2, fungi": (4, 6),
        "clr, seed 0, task 2": (1, 4),
    }
    progress.handle(CellEnded("clr, seed 0, task 2"))
    # Its tasks were shown one by one, and are asked without knowing the task.
    progress.handle(CellBegan("clr, seed 0", 3, 3, 0))
    progress.handle(Guessing("clr, seed 0", 2))
    assert bars(progress)["clr, seed 0: guessing after 2 tasks"] == (0, 0)
    progress.handle(CellEnded("clr, seed 0"))
    progress.handle(Note("drawing tables and figures"))
    assert bars(progress) == {"drawing tables and figures": (5, 12), "er, seed 0: task 2, fungi": (4, 6)}


def test_what_was_lost_with_a_worker_is_not_counted():
    progress = TerminalProgress(epochs=6)
    progress.handle(CellBegan("er, seed 0", 3, 0, 2))
    for _ in range(3):
        progress.handle(EpochDone("er, seed 0"))
    # The first task is in the run's folder, half of the second one is lost.
    progress.handle(CellBegan("er, seed 0", 3, 1, 2))
    assert bars(progress) == {"all methods": (2, 6), "er, seed 0": (2, 6)}


def test_what_stays_to_be_read_is_one_line_without_a_terminal(capsys: pytest.CaptureFixture[str]):
    text = f"task 1 of 2, [red]: {'much ' * 40}:smile:"
    TerminalProgress(epochs=1).handle(Told(text + "\x1b"))
    assert capsys.readouterr().err == f"{text}\\x1b\n"


def test_failures_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]):
    progress = TerminalProgress(epochs=1)
    # A cell may fail before it begins.
    cause = f"KeyError: '[red]' is {'not ' * 40}there"
    progress.handle(CellFailed("er, seed 0", cause))
    assert capsys.readouterr().err == f"er, seed 0 failed: {cause}\n"
    assert bars(progress) == {"all methods": (0, 1)}


def screen(lines: int) -> tuple[TerminalProgress, Callable[[], str]]:
    """Progress on a terminal of so many lines, and what shows its picture."""
    progress = TerminalProgress(epochs=200)
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=lines, color_system=None)
    progress._console = progress._bars.live.console = console
    progress._bars.disable = False

    def picture() -> str:
        with console.capture() as captured:
            console.print(progress._bars.get_renderable())
        return captured.get()

    return progress, picture


def test_there_are_never_more_bars_than_lines():
    progress, picture = screen(lines=24)
    for number in range(200):
        progress.handle(CellBegan(f"er, seed {number}", 1, 0, 1))
    lines = picture().splitlines()
    assert len(lines) == 23
    assert lines[0].startswith("all methods (and 178 more at once) ")
    assert [line.split("  ")[0].split(" ━")[0].strip() for line in lines[1:4]] == [f"er, seed {n}" for n in range(3)]
    # Who has waited takes the place of who has ended.
    for number in range(190):
        progress.handle(EpochDone(f"er, seed {number}"))
        progress.handle(CellEnded(f"er, seed {number}"))
    lines = picture().splitlines()
    assert len(lines) == 11
    assert lines[0].split(" ━")[0].strip() == "all methods"
    assert "190/200" in lines[0]
    assert lines[1].startswith("er, seed 190 ")


def test_names_are_shown_as_they_are():
    progress, picture = screen(lines=24)
    name = "er:x=[red]a:smile:{b}\x1b]0;title\x07"
    progress.handle(CellBegan(name, 1, 0, 1))
    progress.handle(TaskBegan(name, 1, "[/] \x9b2J"))
    progress.handle(Warned(f"{name} is slow"))
    shown = r"er:x=[red]a:smile:{b}\x1b]0;title\x07"
    assert f"{shown}: task 1, [/] \\x9b2J" in picture()
    assert f"warning: {shown} is slow" in progress._console.file.getvalue()  # type: ignore[attr-defined]
