"""What a run tells of its progress."""

from __future__ import annotations

from typing import Protocol


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
