"""Accuracy matrices of the methods of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmark.results import metrics
from benchmark.results.blocks import Block, block_means, factors_of, repetitions_of


@dataclass(frozen=True)
class DrawnRun:
    """One method's accuracy matrices.

    Attributes:
        matrices: float [blocks, T, T], fractions, NaN where not evaluated: the mean of each block's repetitions.
        learned: how many tasks these repetitions learned.
        repetitions: float [T, T], the matrix of each.
        factors: what the repetitions of the whole run differ in; a block is one of the first.
    """

    method: str
    matrices: metrics.Array
    learned: int
    repetitions: Mapping[metrics.Repetition, metrics.Array]
    factors: Sequence[Block]

    @property
    def label(self) -> str:
        tasks = self.matrices.shape[-1]
        return self.method if self.learned == tasks else f"{self.method} ({self.learned} of {tasks} tasks)"


def drawn_runs(accuracy: pd.DataFrame, methods: Sequence[str], tasks: int) -> list[DrawnRun]:
    """The methods that learned a task at all.

    Of each, the repetitions that got furthest: a mean over others at every point would move by itself.
    """
    runs, factors = [], factors_of(repetitions_of(accuracy))
    for method in methods:
        rows = accuracy[accuracy["method"] == method]
        if rows.empty:
            continue
        furthest = int(rows["learned"].max())
        matrices = {
            repetition: R
            for repetition, R in metrics.accuracy_matrices(rows, tasks).items()
            if np.isfinite(R[furthest - 1, 0])
        }
        # Curves and matrices are linear, so that those of a block's mean are the means of the block.
        means = np.stack(list(block_means(matrices, factors[0]).values()))
        runs.append(DrawnRun(method, means, furthest, matrices, factors))
    return runs
