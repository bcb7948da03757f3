"""What a person sees while a run goes on."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.progress import TimeRemainingColumn as TimeLeftColumn


class Progress(Protocol):
    """What a run tells of its progress. Cells are called by their names; several may go on at once."""

    def note(self, text: str) -> None:
        """Something outside the cells, as the loading of a task."""

    def cell(self, name: str, tasks: int, done: int, epochs: int) -> None:
        """A cell of so many tasks, of so many epochs each, begins, or goes on after the tasks that are done."""

    def task(self, name: str, number: int, task: str) -> None:
        """A task begins."""

    def epoch(self, name: str) -> None:
        """An epoch of that task is done."""

    def ended(self, name: str) -> None:
        """A cell has ended."""

    def failed(self, name: str, cause: str) -> None:
        """A cell failed."""

    def warn(self, text: str) -> None:
        """Something that has to be read, although the run goes on."""


def print_warning(console: Console, text: str) -> None:
    """Print what has to be read, also where the output is no terminal."""
    console.print(f"warning: {text}", style="yellow", markup=False, soft_wrap=True)


class TerminalProgress:
    """Bars for the whole run and for each cell that goes on, with the time left. Only failures are printed elsewhere.

    Use as a context manager.

    Args:
        epochs: of all tasks in all cells together.
    """

    def __init__(self, epochs: int):
        self._console = Console(stderr=True)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeLeftColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._run = self._bars.add_task("all methods", total=epochs)
        self._cells: dict[str, TaskID] = {}
        # Cell -> epochs that the whole run's bar has counted: a cell that was lost with its worker begins again.
        self._counted: dict[str, int] = {}

    def __enter__(self) -> TerminalProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def note(self, text: str) -> None:
        self._bars.update(self._run, description=text)

    def cell(self, name: str, tasks: int, done: int, epochs: int) -> None:
        self._remove(name)
        completed = done * epochs
        self._cells[name] = self._bars.add_task(name, total=tasks * epochs, completed=completed)
        self._bars.advance(self._run, completed - self._counted.get(name, 0))
        self._counted[name] = completed

    def task(self, name: str, number: int, task: str) -> None:
        self._bars.update(self._cells[name], description=f"{name}: task {number}, {task}")

    def epoch(self, name: str) -> None:
        self._bars.advance(self._cells[name])
        self._bars.advance(self._run)
        self._counted[name] += 1

    def ended(self, name: str) -> None:
        self._remove(name)
        self._counted.pop(name, None)

    def failed(self, name: str, cause: str) -> None:
        self.ended(name)
        self._console.print(f"{name} failed: {cause}", style="red", markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        print_warning(self._console, text)

    def _remove(self, name: str) -> None:
        if name in self._cells:
            self._bars.remove_task(self._cells.pop(name))
