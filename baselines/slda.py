"""Streaming linear discriminant analysis."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from baselines.shared.finetuning import ALL_SCENARIOS
from baselines.shared.frozen_features import FrozenFeatures, grown, units_of
from methods import Range, Step, methods
from methods.devices import double


class Moments(NamedTuple):
    """What is known of the images seen so far, in double precision.

    Attributes:
        counts: images of each class [classes].
        means: their mean feature vectors [classes, D]; 0 without an image.
        covariance: [D, D], shared by all classes.
    """

    counts: Tensor
    means: Tensor
    covariance: Tensor


def stream(seen: Moments, features: Tensor, labels: Tensor) -> Moments:
    """The moments after some more images: the same as if the paper's update were made for one after the other.

    The update for the image z of class y, after t images of which c have this class, is
    Sigma <- (t Sigma + t / (t + 1) (z - mu_y)(z - mu_y)^T) / (t + 1), and then mu_y <- (c mu_y + z) / (c + 1).

    Args:
        features: float64 [n, D], in the order in which the images come.
        labels: int64 [n], below the number of classes.
    """
    counts, means, covariance = seen
    sums, total = counts[:, None] * means, counts.sum()
    # The mean of an image's class before the image: [n, n] says which others of its class come earlier.
    earlier = (labels[:, None] == labels).tril(-1).to(features)
    of_class = counts[labels] + earlier.sum(1)
    before = (sums[labels] + earlier @ features) / of_class.clamp(min=1)[:, None]
    past = total + torch.arange(len(labels), device=labels.device)
    off = features - before
    scatter = total * covariance + (off * (past / (past + 1))[:, None]).T @ off
    own = one_hot(labels, len(counts)).to(features)
    counts = counts + own.sum(0)
    means = (sums + own.T @ features) / counts.clamp(min=1)[:, None]
    return Moments(counts, means, scatter / (total + len(labels)))


@methods.register("slda")
class SLDA(FrozenFeatures):
    """Deep streaming linear discriminant analysis (Hayes and Kanan, 2020, arXiv 1909.01520).

    Class means mu_y and one covariance Sigma of all classes, of frozen features, are updated image by image, from 0 on,
    as in the authors' code; many images are computed at once, with the same result. With Lambda = ((1 - shrinkage)
    Sigma + shrinkage I)^-1 the head's row of a class is Lambda mu_y, and its bias -mu_y^T Lambda mu_y / 2. What is
    added of I is raised to the rounding of the kept Sigma, 1.2e-7 of its trace, if it is less than that, as with
    features of great length. Each image is seen once, and no gradient step is made. The covariance is that of all
    tasks, so that the heads of earlier tasks change too.

    Args:
        shrinkage: the share of the identity in the covariance.

    Differs from the paper:
        first phase: there is none, and all images are streamed from the first one on. The paper first computes Sigma
            and the means of many images at once.
    """

    any_layout = True
    scenarios = ALL_SCENARIOS
    trains_old_heads = True
    search = {"shrinkage": Range(1e-6, 0.1)}

    def __init__(self, shrinkage: float = 1e-4):
        super().__init__()
        if not 0 < shrinkage <= 1:
            raise ValueError(f"shrinkage={shrinkage:g} must be above 0 and at most 1: it is a share")
        self.shrinkage = shrinkage

    @torch.no_grad()
    def after_training_exp(self, step: Step) -> None:
        heads, size = step.model.heads, step.model.feature_dim
        units, like = heads.units, step.model.scale
        shapes = {"counts": (units,), "means": (units, size), "covariance": (size, size)}
        moments = Moments(*(grown(self.kept.get(name), shape, like) for name, shape in shapes.items()))
        for features, labels in step.task_features():
            features = double(features)
            moments = stream(moments, features, units_of(step, labels).to(features.device))
        counts, means, covariance = moments
        self.kept = {"counts": counts.long(), "means": means.to(like), "covariance": covariance.to(like)}
        shrunk = (1 - self.shrinkage) * covariance
        rounding = torch.finfo(like.dtype).eps * covariance.trace()
        shrunk.diagonal().add_(rounding.clamp(min=self.shrinkage))
        weight = torch.cholesky_solve(means.T, torch.linalg.cholesky(shrunk)).T
        heads.assign(weight, -(means * weight).sum(1) / 2)
