"""The task whose mixture of Gaussians is densest where the image is (GMMC of Ge et al., 2023, arXiv 2305.15591)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import numpy as np

from benchmark.storage.sealed_tensors import Tensors
from benchmark.task_inference.base import FeatureRule, Features, Labels, Measure, Numbers, one_thread, products


class GaussianMixtures(FeatureRule):
    """Keeps a mixture of Gaussians with diagonal covariances for each task.

    All tasks have the same weight, whatever their number of images. It keeps M (2 D + 1) values of a task, where M is
    25, or half of the number of images if that is less.
    """

    name = "gmm"
    #: The number of Gaussians of a task.
    count: ClassVar[int] = 25
    #: This share of the features' mean variance is added to each variance, so that no Gaussian shrinks to a point.
    floor: ClassVar[float] = 1e-3

    def learn(self, features: Features, labels: Labels, seed: int) -> Tensors:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        points = self.points(features)
        # Around their mean, because scikit-learn subtracts squares, and would lose small variances of large features.
        centre = points.mean(0)
        points = points - centre
        mixture = GaussianMixture(
            max(1, min(self.count, len(points) // 2)),
            covariance_type="diag",
            # If all images are equal, any variance will do.
            reg_covar=self.floor * float(np.square(points).mean()) or self.floor,
            random_state=seed % 2**32,
        )
        with one_thread(), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            # scikit-learn refuses a single image. Twice the same has the same best Gaussian.
            mixture.fit(points if len(points) > 1 else points.repeat(2, 0))
        kept = {"weights": mixture.weights_, "means": mixture.means_ + centre, "variances": mixture.covariances_}
        return {name: values.astype(np.float32) for name, values in kept.items()}

    def measures(self, own: Sequence[Tensors], shared: Tensors) -> list[Measure]:
        return [partial(log_density, **{name: values.astype(np.float64) for name, values in k.items()}) for k in own]

    def operations(self, own: Sequence[Tensors]) -> int:
        # The squares of the features are multiplied too.
        return sum(4 * kept["means"].size for kept in own)


def log_density(points: Numbers, weights: Numbers, means: Numbers, variances: Numbers) -> Numbers:
    """Return log sum_m w_m N(x; mu_m, diag v_m) for each point, [N].

    Args:
        points: [N, D].
        weights: [M].
        means, variances: [M, D].
    """
    # Around the mean of the means, because squares of large numbers would lose small differences.
    centre = means.mean(0)
    points, means = points - centre, means - centre
    squares = products(np.square(points), 1 / variances) - 2 * products(points, means / variances)
    squares += (np.square(means) / variances).sum(1)
    logs = np.log(weights) - (squares + np.log(2 * np.pi * variances).sum(1)) / 2
    largest = logs.max(1, keepdims=True)
    return largest[:, 0] + np.log(np.exp(logs - largest).sum(1))
