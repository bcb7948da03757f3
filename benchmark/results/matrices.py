"""The accuracy matrices of a run's methods: all numbers about accuracies are computed from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmark.results.blocks import Block, block_means, factors_of
from benchmark.results.metrics import Array, Repetition, accuracy_matrix

#: The label of each method -> its repetitions -> R of each, float [T, T], as in results/metrics.py.
Matrices = Mapping[str, Mapping[Repetition, Array]]

#: The same for all answers: label of the method and name of the answers -> its repetitions -> R of each.
AnswerMatrices = Mapping[tuple[str, str], Mapping[Repetition, Array]]


def accuracy_matrices(accuracy: pd.DataFrame, methods: Sequence[str], tasks: int) -> Matrices:
    """R of each repetition of each method that learned a task; no R for a method that learned none.

    Tasks are numbered as the repetition learned them: with several orders, task 1 is not always the same.

    Args:
        accuracy: the columns of accuracy.csv, and `order`.
        methods: labels, in the order of the tables.
        tasks: T, the length of the whole stream.
    """
    return {method: _of_method(accuracy[accuracy["method"] == method], tasks) for method in methods}


def answer_matrices(accuracy: pd.DataFrame, methods: Sequence[str], tasks: int) -> AnswerMatrices:
    """R of each repetition for each kind of answers of each method that has any.

    Args:
        accuracy: the columns of accuracy.csv, and `order`.
        methods, tasks: as in `accuracy_matrices`.
    """
    return {
        (method, str(answer)): own
        for answer, rows in accuracy.groupby("answer", sort=False)
        for method, own in accuracy_matrices(rows, methods, tasks).items()
        if own
    }


def _of_method(rows: pd.DataFrame, tasks: int) -> dict[Repetition, Array]:
    return {
        (int(seed), int(order)): accuracy_matrix(cell["learned"], cell["task"], cell["accuracy"], tasks)
        for (seed, order), cell in rows.groupby(["seed", "order"])
    }


def finished_of(own: Mapping[Repetition, Array]) -> dict[Repetition, Array]:
    """The repetitions that were evaluated on all tasks after the last one."""
    return {repetition: R for repetition, R in own.items() if not np.isnan(R[-1]).any()}


def repetitions_of(matrices: Matrices) -> set[Repetition]:
    """The repetitions in which any method learned a task."""
    return {repetition for own in matrices.values() for repetition in own}


@dataclass(frozen=True)
class DrawnRun:
    """One method's accuracy matrices, as curves and pictures show them.

    Attributes:
        matrices: float [blocks, T, T], fractions, NaN where not evaluated: the mean of each block's repetitions.
        learned: how many tasks these repetitions learned.
        repetitions: how many these are.
    """

    method: str
    matrices: Array
    learned: int
    repetitions: int

    @property
    def label(self) -> str:
        tasks = self.matrices.shape[-1]
        return self.method if self.learned == tasks else f"{self.method} ({self.learned} of {tasks} tasks)"


def drawn_runs(matrices: Matrices) -> list[DrawnRun]:
    """The methods that learned at least one task.

    For each, the repetitions that learned the most tasks: otherwise the mean would jump where repetitions end.
    """
    block = factors_of(repetitions_of(matrices))[0]
    return [drawn for method, own in matrices.items() if (drawn := _drawn(method, own, block))]


def _drawn(method: str, own: Mapping[Repetition, Array], block: Block) -> DrawnRun | None:
    learned = {repetition: tasks for repetition, R in own.items() if (tasks := _unbroken(R))}
    if not learned:
        return None
    furthest = max(learned.values())
    drawn = {repetition: own[repetition] for repetition, tasks in learned.items() if tasks == furthest}
    # Curves and matrices are linear, so the curve of a block's mean is the mean of the block's curves.
    means = np.stack(list(block_means(drawn, block).values()))
    return DrawnRun(method, means, furthest, len(drawn))


def _unbroken(R: Array) -> int:
    """After how many tasks, from the first one on, all tasks so far were evaluated. Files of answers may be missing."""
    whole = [bool(np.isfinite(R[i, : i + 1]).all()) for i in range(len(R))]
    return [*whole, False].index(False)
