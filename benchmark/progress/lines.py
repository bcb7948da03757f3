"""Progress as lines of text, where bars cannot move: in a log, behind a pipe, without a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from benchmark.progress.events import (
    CellBegan,
    CellEnded,
    CellFailed,
    EpochDone,
    Event,
    Guessing,
    Note,
    TaskBegan,
    Told,
    Warned,
)
from benchmark.progress.passes import Passes
from methods.names import printable


@dataclass
class _Learning:
    """A cell that goes on: its epochs for each task, and of the task that it learns its name and the epochs done."""

    epochs: int
    task: str | None = None
    done: int = 0


class Lines:
    """Tells of each task that was learned, with the time left.

    Args:
        epochs: of all tasks in all cells together.
        write: takes a line, without its end.
        each_epoch: whether each epoch has a line, too.
        clock: seconds.
    """

    def __init__(
        self,
        epochs: int,
        write: Callable[[str], None],
        each_epoch: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._passes = Passes(epochs)
        self._write, self._each_epoch, self._clock = write, each_epoch, clock
        self._start = clock()
        self._cells: dict[str, _Learning] = {}

    def handle(self, event: Event) -> None:
        """Tell what happens."""
        match event:
            case Note(text):
                self._say(text)
            # As on a terminal: a program may look for these.
            case Told(text):
                self._write(printable(text))
            case Warned(text):
                self._write(printable(f"warning: {text}"))
            case CellBegan(name):
                self._passes.begin(event)
                self._cells[name] = _Learning(event.epochs)
            case TaskBegan(name, number, task):
                self._learned(name)
                self._cells[name].task, self._cells[name].done = f"task {number}, {task}", 0
            case EpochDone(name):
                self._passes.advance(name)
                self._epoch(name, self._cells[name])
            case Guessing(name):
                self._learned(name)
            case CellEnded(name):
                self._learned(name)
                self._end(name)
            case CellFailed(name, cause):
                self._end(name)
                self._write(printable(f"{name} failed: {cause}"))

    def _epoch(self, name: str, cell: _Learning) -> None:
        cell.done += 1
        if self._each_epoch:
            self._say(f"{name}: {cell.task}, epoch {cell.done} of {cell.epochs}{self._left()}")

    def _learned(self, name: str) -> None:
        """The task that a cell learned is learned, because the cell goes on."""
        cell = self._cells.get(name)
        if cell is not None and cell.task is not None:
            self._say(f"{name}: {cell.task}, learned{self._left()}")
            cell.task = None

    def _end(self, name: str) -> None:
        self._cells.pop(name, None)
        self._passes.end(name)

    def _left(self) -> str:
        """The share of the run that is done, and the time left, if all epochs take as long as those so far."""
        done, total, made = self._passes.done, self._passes.total, self._passes.made
        if not total or not made:
            return ""
        left = (self._clock() - self._start) * max(0, total - done) / made
        return f"; {min(done, total) / total:.0%} of the run, about {_time(left)} left"

    def _say(self, text: str) -> None:
        self._write(f"[{_time(self._clock() - self._start)}] {printable(text)}")


def _time(seconds: float) -> str:
    """As 0:02:10."""
    return str(timedelta(seconds=round(seconds)))
