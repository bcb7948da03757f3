"""How the classes of one data set are divided among tasks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np


@dataclass(frozen=True)
class Shares:
    """How many classes each task has, and which.

    Attributes:
        tasks: number of tasks; None if `increment` is given.
        order: the order of the classes: their own if None; or a random one, NumPy's permutation after
            `numpy.random.seed(order)`, as in PyCIL and PILOT.
        first: classes of the first task; None for as many as the others.
        increment: classes of each task after the first, or of all without `first`; None if `tasks` is given.

    Raises:
        ValueError: these exclude each other, or the order is not a seed.
    """

    tasks: int | None = None
    order: int | None = None
    first: int | None = None
    increment: int | None = None

    def __post_init__(self) -> None:
        if self.tasks is not None and self.increment is not None:
            raise ValueError(f"tasks={self.tasks} and increment={self.increment} exclude each other; give one of them")
        if self.order is not None and not 0 <= self.order < 2**32:
            raise ValueError(f"order={self.order} must be a whole number from 0 to {2**32 - 1}")

    def sizes(self, classes: int) -> list[int]:
        """The class count of each task, of this many classes in all.

        Raises:
            ValueError: they cannot be divided so.
        """
        if self.increment is not None:
            return stepwise(classes, self.increment, self.first)
        assert self.tasks is not None
        return shared_out(classes, self.tasks, self.first)

    def groups(self, classes: int) -> list[list[int]]:
        """The numbers of each task's classes, from 0."""
        order = list(range(classes))
        if self.order is not None:
            # NumPy promises never to change RandomState's numbers.
            order = np.random.RandomState(self.order).permutation(classes).tolist()
        return [order[first:last] for first, last in pairwise(accumulate(self.sizes(classes), initial=0))]


def shared_out(classes: int, tasks: int, first: int | None) -> list[int]:
    """The class count of each task.

    Args:
        classes: of the data set.
        tasks: number of tasks.
        first: classes of the first task; None if all tasks have the same number.

    Raises:
        ValueError: a task would have fewer than two classes, or without `first` the tasks would differ.
    """
    if first is None:
        possible = [n for n in range(1, classes // 2 + 1) if classes % n == 0]
        if tasks not in possible:
            raise ValueError(
                f"tasks={tasks} does not share out {classes} classes evenly, two or more to a task; "
                f"right are {', '.join(map(str, possible))}"
            )
        return [classes // tasks] * tasks
    _check_first(classes, first)
    most = 1 + (classes - first) // 2
    if not 2 <= tasks <= most:
        raise ValueError(f"tasks={tasks} with first={first} must be from 2 to {most}: each task needs two classes")
    each, more = divmod(classes - first, tasks - 1)
    return [first, *(each + (number < more) for number in range(tasks - 1))]


def stepwise(classes: int, increment: int, first: int | None) -> list[int]:
    """As `shared_out`, if the size of the later tasks is given instead of their number.

    Raises:
        ValueError: the classes cannot be divided so.
    """
    if first is not None:
        _check_first(classes, first)
    rest = classes - (first or 0)
    possible = [n for n in range(2, rest + 1) if rest % n == 0]
    if increment not in possible:
        raise ValueError(
            f"increment={increment} does not share out {rest} classes evenly, two or more to a task; "
            f"right are {', '.join(map(str, possible))}"
        )
    return [*([first] if first is not None else []), *[increment] * (rest // increment)]


def _check_first(classes: int, first: int) -> None:
    if not 2 <= first <= classes - 2:
        raise ValueError(f"first={first} must be from 2 to {classes - 2}: each task needs two of {classes} classes")
