"""Random projections and ridge regression."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from baselines.shared.finetuning import ALL_SCENARIOS
from baselines.shared.frozen_features import FrozenFeatures, grown, members
from methods import Network, Step, methods
from methods.devices import double, precise

#: The values of lambda that are tried.
RIDGES = tuple(10.0**power for power in range(-8, 9))
# The share of a task's images on which each of them is fitted; the others tell how well it does.
_FITTED = 0.8

# Rows that are converted to double precision at once.
_AT_ONCE = 1024

_PROJECTION = "random_projection"


def _project(backbone: nn.Module, inputs: tuple[Tensor, ...], features: Tensor) -> Any:
    return (features @ backbone.get_buffer(_PROJECTION)).relu()


@methods.register("ranpac")
class RanPAC(FrozenFeatures):
    """RanPAC without the adaptation on its first task (McDonnell et al., 2023, arXiv 2307.02251).

    h = ReLU(f W) of frozen features f, with a random W [D, width] from the normal distribution. W is drawn anew from
    the seed, so that no file holds it, but an answer needs it, and so it is counted as stored beyond the backbone. G =
    sum of h h^T and Q = sum of h y^T, over all images so far with one-hot labels y, are kept, and the head is (G +
    lambda I)^-1 Q, without a bias. At each task lambda is the power of ten from 1e-8 to 1e8 that, fitted on 80 % of the
    task's images, drawn at random, has the least squared error on the others, as in the authors' code. Below the
    rounding of the kept G, 1.2e-7 of its trace, lambda is raised to that. Each image is seen once, and no gradient step
    is made. G and lambda are those of all tasks, so that the heads of earlier tasks change too.

    Args:
        width: the number of random features; the paper has 10000. G has width^2 values: 16 MB with 2000, 400 MB with
            10000. While a task is learned, the random features of all of its images are held, and G in double
            precision.

    Differs from the paper:
        first phase: left out. In the paper, the first task adapts the backbone.
        width: 2000 random features. With the paper's 10000 (`width=10000`) G has 400 MB, and a task takes up to 3 GB
            while it is learned.
    """

    any_layout = True
    scenarios = ALL_SCENARIOS
    trains_old_heads = True

    def __init__(self, width: int = 2_000):
        super().__init__()
        if width < 1:
            raise ValueError(f"width={width} must be at least 1")
        self.width = width

    def adapt(self, network: Network) -> None:
        projection = torch.randn(network.feature_dim, self.width, device="cpu").to(network.scale)
        # A buffer of the backbone itself, because a child would become a layer if the backbone is an nn.Sequential.
        network.backbone.register_buffer(_PROJECTION, projection)
        network.backbone.register_forward_hook(_project)
        network.feature_dim = self.width

    @torch.no_grad()
    def after_training_exp(self, step: Step) -> None:
        heads, like = step.model.heads, step.model.scale
        rows, labels = like.new_empty(len(step.task_data), self.width), []
        done = 0
        for features, own in step.task_features():
            rows[done : done + len(own)] = features
            labels.append(own)
            done += len(own)
        order = torch.randperm(len(rows), generator=self.generator).to(like.device)
        rows, targets = rows[order], members(step, torch.cat(labels)[order])

        gram = grown(self.kept.get("gram"), (self.width, self.width), like) + inner(rows, rows)
        products = grown(self.kept.get("products"), (self.width, heads.units), like) + inner(rows, targets)
        # A copy, because lambda is added to `gram` in place.
        self.kept = {"gram": gram.to(like, copy=True), "products": products.to(like)}
        rounding = torch.finfo(like.dtype).eps * gram.trace()
        gram.diagonal().add_(torch.maximum(best_ridge(rows, targets), rounding))
        weight = torch.cholesky_solve(products, torch.linalg.cholesky(gram)).T
        heads.assign(weight, torch.zeros_like(weight[:, 0]))


def inner(rows: Tensor, others: Tensor) -> Tensor:
    """rows^T others [M, K] in double precision, made of some rows at a time: rows [N, M], others [N, K]."""
    pairs = zip(rows.split(_AT_ONCE), others.split(_AT_ONCE), strict=True)
    total = torch.zeros(rows.shape[1], others.shape[1], dtype=torch.float64, device=precise(rows.device))
    for some, own in pairs:
        total += double(some).T @ double(own)
    return total


def best_ridge(rows: Tensor, targets: Tensor) -> Tensor:
    """The lambda of RIDGES whose ridge regression of the first 80 % has the least squared error on the others.

    With fewer rows than columns the same regression is computed from the products of rows, which is a smaller system.

    Args:
        rows: [N, M], in random order.
        targets: float64 [N, classes].

    Returns:
        A scalar in double precision.
    """
    count = int(_FITTED * len(rows))
    fitted, wanted, others = rows[:count], targets[:count], double(rows[count:])
    if count < rows.shape[1]:
        fitted = double(fitted)
        system, right, tested = fitted @ fitted.T, wanted, others @ fitted.T
    else:
        system, right, tested = inner(fitted, fitted), inner(fitted, wanted), others
    errors = []
    for ridge in RIDGES:
        shifted = system.clone()
        shifted.diagonal().add_(ridge)
        factor, failed = torch.linalg.cholesky_ex(shifted)
        found = tested @ torch.cholesky_solve(right, factor)
        error = (found - targets[count:]).square().sum()
        # Next to a singular matrix, a small lambda is lost in rounding.
        errors.append(torch.where(failed > 0, torch.inf, error).nan_to_num(nan=torch.inf))
    ridges = torch.tensor(RIDGES, dtype=torch.float64, device="cpu").to(targets.device)
    return ridges.take(torch.stack(errors).argmin())
