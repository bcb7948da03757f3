"""What answers say: every number about accuracy is a plain function of answers and labels.

`classes` are the answers, int [N], and `labels` the right ones, int [N]: indices of classes within a task, from 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmark.results.metrics import Array
from benchmark.storage.answers import Answers
from benchmark.storage.labels import TaskLabels

#: Bins of confidence, equally wide.
BINS = 15


@dataclass(frozen=True, eq=False)
class Marked:
    """Answers to a task's test images, and the right ones.

    Attributes:
        answers: what was answered.
        truth: the right answers, within the task.
        first: the answer that means the task's first class: 0, unless the classes of several tasks compete.
        competing: how many classes compete, if not only those of the task.
        tasks: int64 [N], the place of the task that each answer belongs to, from 1, where tasks compete; else None.
    """

    answers: Answers
    truth: TaskLabels
    first: int = 0
    competing: int | None = None
    tasks: npt.NDArray[np.int64] | None = None

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """The right answers, counted as the answers are: int64 [N]."""
        return self.truth.labels + self.first

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Whether each answer is right: bool [N]."""
        return self.answers.classes == self.labels

    @property
    def accuracy(self) -> float:
        return accuracy(self.answers.classes, self.labels)

    @property
    def confusion(self) -> npt.NDArray[np.int64]:
        """How often each competing class (row) was answered with each of them (column)."""
        return confusion_matrix(self.answers.classes, self.labels, self.competing or len(self.truth.classes))


def accuracy(classes: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """The share of the answers that are right, 0..1."""
    right = np.asarray(classes) == np.asarray(labels)
    return int(right.sum()) / len(right)


def confusion_matrix(classes: npt.ArrayLike, labels: npt.ArrayLike, count: int) -> npt.NDArray[np.int64]:
    """How often an image of a class (row) was answered with a class (column): int [count, count].

    Args:
        count: the number of classes.
    """
    pairs = np.asarray(labels, dtype=np.int64) * count + np.asarray(classes, dtype=np.int64)
    return np.bincount(pairs, minlength=count * count).reshape(count, count)


def recall(confusion: npt.NDArray[np.int64]) -> Array:
    """Which share of a class's images was answered with it: float [C], NaN for a class without images."""
    return _ratio(np.diag(confusion), confusion.sum(axis=1))


def precision(confusion: npt.NDArray[np.int64]) -> Array:
    """Which share of the answers with a class was right: float [C], NaN for a class that was never the answer."""
    return _ratio(np.diag(confusion), confusion.sum(axis=0))


def f1(confusion: npt.NDArray[np.int64]) -> Array:
    """The harmonic mean of recall and precision: float [C], 0 for a class that was never the answer.

    It is 2 TP / (images + answers), so it is only NaN for a class with neither.
    """
    return _ratio(2 * np.diag(confusion), confusion.sum(axis=0) + confusion.sum(axis=1))


def expected_calibration_error(right: npt.ArrayLike, confidence: npt.ArrayLike, bins: int = BINS) -> float:
    """How far the confidence is from the accuracy (Guo et al., 2017, arXiv 1706.04599), 0..1.

    The mean over images of |accuracy - mean confidence| of their bin. Bins are equally wide, and the upper edge of each
    belongs to it.

    Args:
        right: bool [N], whether each answer is right.
        confidence: float [N], 0..1.

    Returns:
        NaN if there are no images, or a confidence is no number.
    """
    hits, sure = np.asarray(right, dtype=np.float64), np.asarray(confidence, dtype=np.float64)
    if not len(sure) or np.isnan(sure).any():
        return float("nan")
    bin_of = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, weights=hits - sure, minlength=bins)
    return float(np.abs(gaps).sum() / len(sure))


def image_weighted_accuracy(tasks: Sequence[Marked]) -> float:
    """The share of right answers among the images of all tasks together, 0..1; NaN without images."""
    right = np.concatenate([each.right for each in tasks])
    return accuracy(right, np.ones_like(right)) if len(right) else float("nan")


def places_of(columns: npt.ArrayLike, widths: Sequence[int]) -> npt.NDArray[np.int64]:
    """The place of the task that each column belongs to, from 1: int64 [N].

    Args:
        columns: int [N], among the classes of all tasks, side by side in the order of learning.
        widths: the number of classes of each task, in that order.
    """
    return np.searchsorted(np.cumsum(widths), np.asarray(columns), side="right").astype(np.int64) + 1


def task_confusion(tasks: Mapping[int, Marked | None], count: int) -> npt.NDArray[np.int64]:
    """How often an image of a task (row) was taken for one of a task (column), by place: int64 [count, count].

    Args:
        tasks: place, from 1 -> the answers to its images; those without `tasks` and None are left out.
        count: the number of tasks of the stream.
    """
    confusion = np.zeros((count, count), dtype=np.int64)
    for place, marked in tasks.items():
        if marked is not None and marked.tasks is not None:
            confusion[place - 1] = np.bincount(marked.tasks - 1, minlength=count)
    return confusion


def task_inference_accuracy(confusion: npt.NDArray[np.int64]) -> float:
    """The share of images whose task was guessed right, 0..1: the mean over the tasks, NaN if one has no images."""
    return float(recall(confusion).mean())


def mean_calibration_error(tasks: Sequence[Marked]) -> float:
    """The mean over tasks of their expected calibration errors."""
    return float(np.mean([expected_calibration_error(each.right, each.answers.confidence) for each in tasks]))


def _ratio(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> Array:
    """The quotients, NaN where the divisor is 0."""
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
