"""Which progress a person sees: bars in a terminal or a notebook, lines elsewhere, or none."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from rich.console import Console

from benchmark.progress.events import Event
from benchmark.progress.lines import Lines
from benchmark.progress.notebook import NotebookProgress, in_notebook
from benchmark.progress.terminal import TerminalProgress


class Progress(Protocol):
    """Takes each event as it happens."""

    def handle(self, event: Event) -> None: ...


def shown(epochs: int, quiet: bool = False, verbose: bool = False) -> AbstractContextManager[Progress]:
    """What shows the progress of a run; on standard error.

    Args:
        epochs: of all tasks in all cells together.
        quiet: show only warnings and failures.
        verbose: show a line for each epoch, also in a terminal.
    """
    if quiet:
        return TerminalProgress(epochs, quiet=True)
    if not verbose and in_notebook():
        return NotebookProgress(epochs)
    if not verbose and Console(stderr=True).is_terminal:
        return TerminalProgress(epochs)
    return nullcontext(Lines(epochs, lambda line: print(line, file=sys.stderr, flush=True), verbose))
