"""What the rules on frozen features have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from benchmark.storage.sealed_tensors import Tensors

#: Features float32 [N, D], and numbers computed from them.
Features = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
#: Points [N, D], as `FeatureRule.points` gives them -> how near each is to one task, [N]: larger is nearer.
Measure = Callable[[Numbers], Numbers]

# Values of a vector that are multiplied and summed at once. NumPy cuts longer sums in places that depend on the number
# of vectors.
_PIECE = 4096


class FeatureRule(ABC):
    """A rule of task inference on the features of the backbone as given.

    It learns a task from the training images of that task alone. What it keeps is stored and counted. The guess is the
    nearest task; of equally near tasks, the one that was learned first.
    """

    name: ClassVar[str]
    #: Whether it keeps tensors of all tasks together. Then how near an image is to a task changes with each new task.
    shares: ClassVar[bool] = False

    @abstractmethod
    def learn(self, features: Features, labels: Labels, seed: int) -> Tensors:
        """Return what is kept of a task. It depends on nothing but the arguments.

        Args:
            features: of the task's training images, [N, D].
            labels: their classes, [N].
            seed: of the random numbers.
        """

    def share(self, shared: Tensors, features: Features, labels: Labels) -> Tensors:
        """Return what is kept of all tasks together, after one more. The arguments are not changed.

        Args:
            shared: what was kept before; empty before the first task.
            features, labels: of the task's training images, as for `learn`.
        """
        return {}

    def points(self, features: Features) -> Numbers:
        """Return what the measures take, [N, D]. A row depends on its own features alone."""
        return features.astype(np.float64)

    @abstractmethod
    def measures(self, own: Sequence[Tensors], shared: Tensors) -> list[Measure]:
        """Return a measure for each task. What it says of a point does not depend on other points, bit for bit.

        Args:
            own: what is kept of each task learned so far.
            shared: what is kept of all of them together.
        """

    @abstractmethod
    def operations(self, own: Sequence[Tensors]) -> int:
        """Return the floating-point operations of all measures for one image: 2 for each multiply-add of `products`."""


def products(points: Numbers, columns: Numbers) -> Numbers:
    """Return the inner product of each point with each column, [N, M], from [N, D] and [M, D].

    Each one is computed from its own two vectors alone. BLAS (`points @ columns.T`) would sum in an order that depends
    on the number of points, so that the guess for an image could depend on its batch.
    """
    total = np.zeros((len(points), len(columns)))
    for start in range(0, points.shape[1], _PIECE):
        piece = slice(start, start + _PIECE)
        total += np.einsum("nd,md->nm", points[:, piece], columns[:, piece], optimize=False)
    return total


def one_thread() -> AbstractContextManager[object]:
    """Return a context in which sums of NumPy, SciPy and scikit-learn do not depend on the number of threads."""
    return threadpool_limits(limits=1)
