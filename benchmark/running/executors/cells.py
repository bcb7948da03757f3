"""The cells of a run, and single tasks of them, as units of work for workers."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.storage.records import CellKey


# Jobs of a run that wait in the queue of Slurm are pickled under this module's name: it must stay.
@dataclass(frozen=True)
class Job:
    """A unit of work for a worker.

    Attributes:
        name: the name that people see.
        key: the cell.
        task: the number of one independent task of the cell; None for all tasks, one after the other.
        twins: the cells of the same method and seed in other orders, if the tasks are independent. Such cells copy
            learned tasks from each other.
        counted: whether other jobs have learned all tasks, and told it: this one only asks for answers.
    """

    name: str
    key: CellKey
    task: int | None = None
    twins: tuple[CellKey, ...] = ()
    counted: bool = False

    @property
    def cells(self) -> tuple[CellKey, ...]:
        """The cells that get the learned tasks."""
        return (self.key,) if self.task is None else (self.key, *self.twins)
