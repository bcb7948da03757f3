"""What a person sees while a run goes on."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as TimeLeftColumn


class TerminalProgress:
    """Bars for the whole run, the cell and the task, with the time left. Only failures are printed elsewhere.

    Use as a context manager.

    Args:
        cells, tasks, epochs: how many there are of each.
    """

    def __init__(self, cells: int, tasks: int, epochs: int):
        self._console = Console(stderr=True)
        self._tasks, self._epochs = tasks, epochs
        self._bars = Progress(
            TextColumn("{task.description}", table_column=None),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeLeftColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._run = self._bars.add_task("all methods", total=cells * tasks * epochs)
        self._cell = self._bars.add_task("", total=tasks, visible=False)
        self._task: TaskID = self._bars.add_task("", total=epochs, visible=False)
        self._cells_begun = 0

    def __enter__(self) -> TerminalProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def note(self, text: str) -> None:
        self._bars.update(self._task, description=text, visible=True)

    def cell(self, method: str, seed: int, tasks_done: int) -> None:
        done = (self._cells_begun * self._tasks + tasks_done) * self._epochs
        self._cells_begun += 1
        self._bars.update(self._run, completed=done)
        self._bars.reset(self._cell, description=f"{method}, seed {seed}", completed=tasks_done, visible=True)

    def task(self, number: int, name: str) -> None:
        self._bars.update(self._cell, completed=number - 1)
        self._bars.reset(self._task, description=f"task {number}, {name}", visible=True)

    def epoch(self) -> None:
        self._bars.advance(self._task)
        self._bars.advance(self._run)

    def failed(self, method: str, seed: int, cause: str) -> None:
        self._console.print(f"{method}, seed {seed} failed: {cause}", style="red", markup=False)
