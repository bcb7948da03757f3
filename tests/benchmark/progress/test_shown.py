"""Which progress is shown where."""

from __future__ import annotations

import sys

import pytest

from benchmark.progress import shown as module
from benchmark.progress.events import CellBegan, CellEnded, CellFailed, EpochDone, TaskBegan, Told
from benchmark.progress.lines import Lines
from benchmark.progress.shown import shown
from benchmark.progress.terminal import TerminalProgress

EVENTS = (
    CellBegan("er, seed 0", 1, 0, 1),
    TaskBegan("er, seed 0", 1, "fungi"),
    EpochDone("er, seed 0"),
    CellEnded("er, seed 0"),
)


def printed(capsys: pytest.CaptureFixture[str], **options: bool) -> list[str]:
    """What is printed of EVENTS and a failure."""
    with shown(1, **options) as progress:
        for event in (Told("task one: 3 classes"), *EVENTS, CellFailed("clr, seed 0", "no luck")):
            progress.handle(event)
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_without_a_terminal_there_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    told, learned, failed = printed(capsys)
    assert told.endswith("task one: 3 classes")
    assert learned.endswith("er, seed 0: task 1, fungi, learned; 100% of the run, about 0:00:00 left")
    assert failed.endswith("clr, seed 0 failed: no luck")


def test_quiet_leaves_failures(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, quiet=True) == ["clr, seed 0 failed: no luck"]


def test_verbose_adds_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    assert [line.partition("fungi, ")[2].partition(";")[0] for line in printed(capsys, verbose=True)[1:3]] == [
        "epoch 1 of 1",
        "learned",
    ]


def test_a_terminal_has_bars_unless_verbose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with shown(1) as bars, shown(1, verbose=True) as lines, shown(1, quiet=True) as nothing:
        assert isinstance(bars, TerminalProgress)
        assert isinstance(lines, Lines)
        assert isinstance(nothing, TerminalProgress)
        assert not bars._bars.disable
        assert nothing._bars.disable


def test_a_notebook_has_its_own_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "in_notebook", lambda: True)
    assert type(shown(1)).__name__ == "NotebookProgress"
