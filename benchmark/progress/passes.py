"""How many passes over training images are done, of the whole run and of each cell."""

from __future__ import annotations

from benchmark.progress.events import CellBegan


class Passes:
    """Counts epochs.

    Args:
        total: of all tasks in all cells together.

    Attributes:
        done: how many of them are done, also by earlier processes.
        made: how many this process has seen being made.
    """

    def __init__(self, total: int):
        self.total = total
        self.done = 0
        self.made = 0
        # Cell -> epochs of it that count as done: a cell that was lost with its worker begins again.
        self._counted: dict[str, int] = {}

    def begin(self, event: CellBegan) -> int:
        """A cell begins; returns how many epochs it has done."""
        completed = event.done * event.epochs
        self.done += completed - self._counted.get(event.cell, 0)
        self._counted[event.cell] = completed
        return completed

    def advance(self, cell: str) -> None:
        """An epoch of a cell is done."""
        self.done += 1
        self.made += 1
        self._counted[cell] += 1

    def end(self, cell: str) -> None:
        """A cell has ended, or failed."""
        self._counted.pop(cell, None)
