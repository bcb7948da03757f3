"""The task of the nearest class mean, by Mahalanobis' distance (Lee et al., 2018, arXiv 1807.03888)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from benchmark.storage.sealed_tensors import Tensors
from benchmark.task_inference.base import FeatureRule, Features, Labels, Measure, Numbers, one_thread, products


class Mahalanobis(FeatureRule):
    """Keeps the mean of each class, and one covariance matrix for all classes of all tasks.

    The covariance is the scatter of all training images so far around the mean of their class, divided by their number.
    A share of its mean variance is added to its diagonal, so that it can be inverted. It keeps C D values of a task of
    C classes, and D^2 values and the number of images for all tasks together.
    """

    name = "mahalanobis"
    shares = True
    #: This share of the mean variance is added to the diagonal.
    shrinkage: ClassVar[float] = 1e-2

    def learn(self, features: Features, labels: Labels, seed: int) -> Tensors:
        return {"means": self._means(features, labels)[0].astype(np.float32)}

    def share(self, shared: Tensors, features: Features, labels: Labels) -> Tensors:
        means, classes = self._means(features, labels)
        rest = self.points(features) - means[classes]
        with one_thread():
            scatter = rest.T @ rest
        if shared:
            scatter += shared["scatter"]
        images = shared.get("images", 0) + np.array([len(features)], dtype=np.int64)
        return {"scatter": scatter.astype(np.float32), "images": images}

    def _means(self, features: Features, labels: Labels) -> tuple[Numbers, Labels]:
        """Return the mean of each class that has images, [C, D], and the place of each image's class there, [N]."""
        points = self.points(features)
        known, classes = np.unique(labels, return_inverse=True)
        return np.stack([points[classes == place].mean(0) for place in range(len(known))]), classes

    def measures(self, own: Sequence[Tensors], shared: Tensors) -> list[Measure]:
        """Return max_c (mu_c - o)^T S^-1 (x - (mu_c + o) / 2) for each task.

        Up to what is the same for all classes, this is minus half of the squared distance (x - mu_c)^T S^-1 (x - mu_c).
        o is the mean of the means.
        """
        means = np.concatenate([kept["means"] for kept in own]).astype(np.float64)
        # Equal means are solved for once, so that tasks with equal means are equally near to the last bit.
        distinct, places = np.unique(means, axis=0, return_inverse=True)
        origin = distinct.mean(0)
        with one_thread():
            factor = cho_factor(self.covariance(shared), lower=True)
            directions = np.ascontiguousarray(cho_solve(factor, (distinct - origin).T).T)
        offsets = (directions * (distinct + origin)).sum(1) / 2
        widths = [len(kept["means"]) for kept in own]
        columns = np.split(places.reshape(-1), np.cumsum(widths)[:-1])
        return [partial(_nearness, directions=directions[each], offsets=offsets[each]) for each in columns]

    def covariance(self, shared: Tensors) -> Numbers:
        """Return the covariance that all classes share, with what is added to its diagonal, [D, D]."""
        covariance = shared["scatter"].astype(np.float64) / shared["images"]
        # If no class varies, this is Euclid's distance.
        added = self.shrinkage * covariance.diagonal().mean() or 1.0
        return covariance + added * np.eye(len(covariance))

    def operations(self, own: Sequence[Tensors]) -> int:
        return sum(2 * kept["means"].size for kept in own)


def _nearness(points: Numbers, directions: Numbers, offsets: Numbers) -> Numbers:
    return (products(points, directions) - offsets).max(1)
