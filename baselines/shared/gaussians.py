"""A normal distribution for the features of each class, and samples from them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from methods.devices import double

# What is at least added to the diagonal of a covariance, as in the code of SLCA.
_JITTER = 1e-4


def fitted(rows: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """The mean [D] and the covariance [D, D] of the features of a class, computed in double precision.

    The covariance is the sum of squares divided by n - 1, plus 1e-4 I, so that it has a Cholesky factor where there are
    fewer images than D. The share of I is raised to the rounding of the covariance, in single precision 1.2e-7 of its
    trace, if it is below that.

    Args:
        rows: [n, D]. Without a row the mean is 0.
        like: has the type of the result.
    """
    rows = double(rows)
    mean = rows.sum(0) / max(len(rows), 1)
    centred = rows - mean
    covariance = centred.T @ centred / max(len(rows) - 1, 1)
    rounding = torch.finfo(like.dtype).eps * covariance.trace()
    covariance.diagonal().add_(rounding.clamp(min=_JITTER))
    return mean.to(like), covariance.to(like)


def factors(covariances: Sequence[Tensor], like: Tensor) -> Tensor:
    """The Cholesky factors [classes, D, D] of covariances, of the type and on the device of `like`.

    They are computed one by one in double precision: many such matrices would take much memory.

    Args:
        covariances: [D, D] each.
    """
    return torch.stack([torch.linalg.cholesky(double(own.to(like.device))).to(like) for own in covariances])


def samples(means: Tensor, roots: Tensor, normal: Tensor) -> Tensor:
    """mean + L z for each z: [classes, n, D].

    Args:
        means: [classes, D].
        roots: L, [classes, D, D].
        normal: z, [classes, n, D], from the normal distribution.
    """
    return means[:, None] + normal @ roots.mT
