"""What a person sees while a run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.progress import TimeRemainingColumn as TimeLeftColumn
from rich.text import Text

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


@contextmanager
def loading() -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    """While a run is prepared. Yields a function that shows a line of text, and one that shows a warning."""
    console = Console(stderr=True)
    with console.status("loading") as status:
        yield lambda text: status.update(Text(printable(text))), partial(print_warning, console)


def print_warning(console: Console, text: str) -> None:
    """Print a warning, also if the output is no terminal."""
    _print(console, f"warning: {text}", "yellow")


def _print(console: Console, text: str, style: str) -> None:
    # As Text, neither [red] nor :smile: has a special meaning.
    console.print(Text(printable(text)), style=style, soft_wrap=True)


def _bars(console: Console, shown: bool = True) -> Bars:
    """Bars that vanish at their end; none if the console is no terminal."""
    return Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeLeftColumn(),
        console=console,
        transient=True,
        disable=not (shown and console.is_terminal),
    )


@contextmanager
def counting(what: str, total: int, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """A bar for things that are done one after the other. Yields a function that is told how many more are done."""
    with _bars(Console(stderr=True), shown) as bars:
        bar = bars.add_task(what, total=total)
        yield lambda count: bars.advance(bar, count)


class TerminalProgress:
    """Bars with the time left, for the whole run and for each cell that goes on. Only failures are printed elsewhere.

    If there are more cells than lines, the cells that began last have no bar; a line says how many they are.

    Use as a context manager.

    Args:
        epochs: of all tasks in all cells together.
        quiet: whether there are no bars.
    """

    def __init__(self, epochs: int, quiet: bool = False):
        self._console = Console(stderr=True)
        self._quiet = quiet
        self._bars = _bars(self._console, shown=not quiet)
        self._note = "all methods"
        self._run = self._bars.add_task(self._note, total=epochs)
        self._cells: dict[str, TaskID] = {}
        # Bars of cells for which no line was left.
        self._hidden: set[TaskID] = set()
        self._passes = Passes(epochs)

    def __enter__(self) -> TerminalProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def handle(self, event: Event) -> None:
        """Show what happens."""
        match event:
            case Note(text):
                self._note = printable(text)
                self._fit()
            case Told(text) if not self._quiet:
                _print(self._console, text, "")
            case Warned(text):
                print_warning(self._console, text)
            case CellBegan():
                self._begin(event)
            case TaskBegan(name, number, task):
                self._bars.update(self._cells[name], description=printable(f"{name}: task {number}, {task}"))
            case Guessing(name, learned):
                self._bars.update(self._cells[name], description=printable(f"{name}: guessing after {learned} tasks"))
            case EpochDone(name):
                self._passes.advance(name)
                self._bars.advance(self._cells[name])
                self._bars.update(self._run, completed=self._passes.done)
            case CellEnded(name):
                self._end(name)
            case CellFailed(name, cause):
                self._end(name)
                _print(self._console, f"{name} failed: {cause}", "red")

    def _begin(self, event: CellBegan) -> None:
        name = event.cell
        self._remove(name)
        completed = self._passes.begin(event)
        room = len(self._cells) < self._room()
        total = event.tasks * event.epochs
        bar = self._bars.add_task(printable(name), total=total, completed=completed, visible=room)
        self._cells[name] = bar
        if not room:
            self._hidden.add(bar)
        self._bars.update(self._run, completed=self._passes.done)
        self._fit()

    def _end(self, name: str) -> None:
        self._remove(name)
        self._passes.end(name)

    def _remove(self, name: str) -> None:
        if name in self._cells:
            bar = self._cells.pop(name)
            self._hidden.discard(bar)
            self._bars.remove_task(bar)
            self._fit()

    def _room(self) -> int:
        """How many cells have a line. Two lines are kept: one for the whole run, one below it for the shell."""
        return max(1, self._console.height - 2)

    def _fit(self) -> None:
        """Give a bar to the cells that began first, as many as fit, and say how many others there are."""
        room = self._room()
        for bar in [*self._cells.values()][:room]:
            if bar in self._hidden:
                self._hidden.remove(bar)
                self._bars.update(bar, visible=True)
        hidden = len(self._hidden)
        self._bars.update(self._run, description=f"{self._note} (and {hidden} more at once)" if hidden else self._note)
