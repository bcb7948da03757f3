"""Chance level: the accuracy that a method reaches without looking at an image, and whether a method is above it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

# As in results/metrics.py, not scipy.stats: P(X >= k) of a binomial distribution is this function.
from scipy.special import betainc

from benchmark.results.metrics import Array
from benchmark.results.questions import asked
from benchmark.storage.labels import TaskLabels
from benchmark.storage.manifest import PER_CLASS, Entry, Manifest

# Chance levels that differ by less differ in the order of a sum.
_DIGITS = 12

#: A method whose accuracy is as high by chance with this probability, or a greater one, is at chance.
LEVEL = 0.05


class Chance:
    """The chance levels of a run.

    Chance is the best answer that is always the same: the most frequent class. If the task of an image is known, it may
    be another one for each task. Where all classes have the same number of test images, this is 1 / classes.

    Args:
        manifest: of the run.
        labels: number of a task in the stream -> the right answers to its test images. Where they are not kept, the
            manifest of a kept run has the number of images of each class. Without both, all classes of the task count
            as equally frequent.
    """

    def __init__(self, manifest: Manifest, labels: Mapping[int, TaskLabels | None]):
        self._manifest = manifest
        self._shares = [_shares(task, labels.get(k)) for k, task in enumerate(manifest.tasks, 1)]
        self._images = [task.get("test_images", 0) for task in manifest.tasks]

    def curve(self, label: str, answer: str, order: Sequence[int] | None = None) -> Array:
        """The chance level of the average accuracy after each task learned: float [T], 0..1, NaN if it is not known.

        Args:
            label: of the method.
            answer: the name of its answers, see results/questions.py.
            order: the numbers of the tasks as they are learned; None for that of the stream.
        """
        shares = [self._shares[task - 1] for task in order or range(1, len(self._shares) + 1)]
        learned = np.arange(1, len(shares) + 1)
        best = np.array([own.max() for own in shares])
        if answer in ("task", "derived"):
            return np.cumsum(best) / learned
        if answer == "domain" or asked(self._manifest, label).scenario == "domain":
            return np.cumsum(shares, axis=0).max(axis=1) / learned
        # An answer is a class of one task only, so that it is wrong for all images of the others.
        return np.maximum.accumulate(best) / learned

    @property
    def curves(self) -> list[Array]:
        """The curves of the main answers of all methods that are known and differ: each the mean over the orders."""
        means: dict[tuple[float, ...], Array] = {}
        for label in self._manifest.labels:
            main = asked(self._manifest, label).main
            mean = np.mean([self.curve(label, main, order) for order in self._manifest.get("orders", [None])], axis=0)
            if not np.isnan(mean).any():
                means[tuple(mean.round(_DIGITS))] = mean
        return [means[key] for key in sorted(means)]

    def level(self, label: str, answer: str) -> float:
        """The chance level of the average accuracy after the last task: 0..1, NaN if it is not known."""
        return float(self.curve(label, answer)[-1])

    def holds(self, label: str, answer: str, accuracy: float) -> bool | None:
        """Whether an average accuracy after the last task is at chance; None if that is not known.

        It is if right answers by chance reach it with a probability of at least LEVEL. In other words, the one-sided
        95 % lower bound of the accuracy, by Clopper & Pearson (1934, Biometrika 26), is not above the chance level. It
        is a mean over tasks, so it is as exact as the share of right answers to n images, n = T^2 / sum of 1/n_j; that
        is all test images if tasks have equally many. Each image counts once, however many repetitions there are.

        Args:
            label, answer: as for `curve`.
            accuracy: the mean over repetitions, 0..1.
        """
        level = self.level(label, answer)
        if math.isnan(level) or math.isnan(accuracy) or not all(self._images):
            return None
        images = len(self._images) ** 2 / sum(1 / images for images in self._images)
        return accuracy == 0 or bool(betainc(accuracy * images, images * (1 - accuracy) + 1, level) >= LEVEL)


def _shares(task: Entry, labels: TaskLabels | None) -> Array:
    """The share of each class among the test images of a task: float [C], NaN if nothing is known."""
    counts = task.get(PER_CLASS) if labels is None else labels.images_per_class
    if counts and sum(counts):
        return np.array(counts) / sum(counts)
    classes = task.get("classes", 0)
    return np.full(classes, 1 / classes) if classes else np.full(1, np.nan)
