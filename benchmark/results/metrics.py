"""What an accuracy matrix says about a method.

R is float [T, T]: R[i, j] is the accuracy (0..1) on task j+1 after learning i+1 tasks, NaN where it was not evaluated.
A number that needs a missing entry is NaN, so an unfinished matrix never gives a number that looks finished.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# Not scipy.stats: its import alone takes a second, and Student's t quantile is just this function of scipy.special.
from scipy.special import stdtrit

Array = npt.NDArray[np.float64]
#: A repetition of a method: its seed, and the number of its order, from 0.
Repetition = tuple[int, int]


def accuracy_matrix(learned: npt.ArrayLike, task: npt.ArrayLike, accuracy: npt.ArrayLike, tasks: int) -> Array:
    """R, float [tasks, tasks], from the columns of accuracy.csv for one cell.

    Args:
        learned: tasks learned, from 1, one per row.
        task: task evaluated, from 1, one per row.
        accuracy: 0..1, one per row.
        tasks: T, the length of the whole stream.
    """
    R = np.full((tasks, tasks), np.nan)
    R[np.asarray(learned, dtype=int) - 1, np.asarray(task, dtype=int) - 1] = np.asarray(accuracy, dtype=float)
    return R


def average_accuracy(R: Array) -> float:
    """Mean accuracy over all tasks after the last one, 0..1."""
    return float(R[-1].mean())


def average_accuracy_curve(R: Array) -> Array:
    """Mean accuracy over the tasks learned so far, after each task: float [T], 0..1."""
    return np.array([R[i, : i + 1].mean() for i in range(len(R))])


def average_incremental_accuracy(R: Array) -> float:
    """Mean of that curve, 0..1; papers on class-incremental learning call it average accuracy (arXiv 1611.07725)."""
    return float(average_accuracy_curve(R).mean())


def first_task_accuracy(R: Array) -> float:
    """Accuracy on the first task after the last one, 0..1."""
    return float(R[-1, 0])


def first_task_curve(R: Array) -> Array:
    """Accuracy on the first task after each task: float [T], 0..1."""
    return R[:, 0].copy()


def first_task_drop(R: Array) -> float:
    """The drop of the first task since it was learned: its accuracy then minus its last one, between -1 and 1.

    Unlike its accuracy, it can be averaged over orders, although each order has another first task.
    """
    return float(R[0, 0] - R[-1, 0])


def first_task_drop_curve(R: Array) -> Array:
    """The drop of the first task after each task learned: float [T], between -1 and 1, starting at 0."""
    return R[0, 0] - R[:, 0]


def forgetting(R: Array) -> float:
    """Mean drop from a task's best earlier accuracy to its last one (Chaudhry et al., arXiv 1801.10112).

    Between -1 and 1. The last task is left out, because no task follows it. NaN for a stream of one task.
    """
    last = len(R) - 1
    if last == 0:
        return float("nan")
    return float(np.mean([R[j:last, j].max() - R[last, j] for j in range(last)]))


def backward_transfer(R: Array) -> float:
    """Mean change from a task's accuracy when just learned to its last one (Lopez-Paz & Ranzato, arXiv 1706.08840).

    Between -1 and 1, negative if tasks were forgotten. NaN for a stream of one task.
    """
    last = len(R) - 1
    if last == 0:
        return float("nan")
    return float(np.mean([R[last, j] - R[j, j] for j in range(last)]))


def confidence_interval_95(values: Sequence[float]) -> float:
    """Half the width of the 95 % confidence interval of the mean, Student's t; NaN with fewer than two values."""
    n = len(values)
    if n < 2:
        return float("nan")
    return float(stdtrit(n - 1, 0.975) * np.std(values, ddof=1) / np.sqrt(n))
