"""Progress in a terminal or in the output of a notebook's cell. The notebook needs no widgets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.text import Text

from benchmark.progress import terminal as progress
from benchmark.progress.events import EpochDone, Event, Guessing, Note, TaskBegan
from benchmark.progress.terminal import TerminalProgress, print_warning
from methods.names import printable

# Seconds between two pictures of the bars: a browser draws each of them.
_INTERVAL = 0.2


@contextmanager
def loading() -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    """While a run is prepared. Yields a function that shows a line of text, and one that shows a warning."""
    if in_notebook():
        output = _Output()
        try:
            yield lambda text: output.show(Text(printable(text))), partial(print_warning, Console(stderr=True))
        finally:
            output.clear()
    else:
        with progress.loading() as tellers:
            yield tellers


class NotebookProgress(TerminalProgress):
    """The terminal's bars in the output of a notebook's cell."""

    def __enter__(self) -> NotebookProgress:
        super().__enter__()
        self._output = _Output()
        self._drawn = 0.0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._output.clear()

    def handle(self, event: Event) -> None:
        """Show what happens."""
        super().handle(event)
        match event:
            case Note() | TaskBegan() | Guessing():
                self._draw()
            case EpochDone() if time.monotonic() > self._drawn + _INTERVAL:
                self._draw()

    def _draw(self) -> None:
        self._output.show(self._bars.make_tasks_table([task for task in self._bars.tasks if task.visible]))
        self._drawn = time.monotonic()


class _Output:
    """A place in the output of a notebook's cell. Its content can change."""

    def __init__(self) -> None:
        from IPython.display import display

        self._handle = display({"text/plain": ""}, raw=True, display_id=True)

    def show(self, renderable: Any) -> None:
        """Show an object of rich in place of the current content."""
        self._handle.update(renderable)

    def clear(self) -> None:
        self._handle.update({"text/plain": ""}, raw=True)


def in_notebook() -> bool:
    """Whether the output is that of a notebook's cell."""
    return Console().is_jupyter
