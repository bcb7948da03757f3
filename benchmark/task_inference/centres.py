"""The task of the nearest k-means centre (S-Prompts, Wang et al., 2022, arXiv 2207.12819)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import numpy as np

from benchmark.storage.sealed_tensors import Tensors
from benchmark.task_inference.base import FeatureRule, Features, Labels, Measure, Numbers, one_thread, products

# A shorter vector is not made longer.
_SHORTEST = 1e-12


class Centres(FeatureRule):
    """Keeps the k-means centres of each task's features, after each feature vector is divided by its length.

    It keeps 5 D values a task, fewer if the task has fewer images.
    """

    name = "centres"
    #: The number of centres of a task.
    count: ClassVar[int] = 5

    def learn(self, features: Features, labels: Labels, seed: int) -> Tensors:
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning

        points = self.points(features)
        means = KMeans(min(self.count, len(points)), n_init=10, random_state=seed % 2**32)
        with one_thread(), warnings.catch_warnings():
            # It warns if there are fewer different points than centres. Then some centres are equal.
            warnings.simplefilter("ignore", ConvergenceWarning)
            means.fit(points)
        return {"centres": means.cluster_centers_.astype(np.float32)}

    def points(self, features: Features) -> Numbers:
        points = super().points(features)
        return points / np.maximum(np.sqrt(np.square(points).sum(1, keepdims=True)), _SHORTEST)

    def measures(self, own: Sequence[Tensors], shared: Tensors) -> list[Measure]:
        return [partial(_nearness, centres=kept["centres"].astype(np.float64)) for kept in own]

    def operations(self, own: Sequence[Tensors]) -> int:
        return sum(2 * kept["centres"].size for kept in own)


def _nearness(points: Numbers, centres: Numbers) -> Numbers:
    """Return max_m (x.c_m - |c_m|^2 / 2), which is (|x|^2 - min_m |x - c_m|^2) / 2, for each point."""
    return (products(points, centres) - np.square(centres).sum(1) / 2).max(1)
