"""Random vectors that are orthogonal to others."""

from __future__ import annotations

import torch
from torch import Tensor


def orthonormal_rows(earlier: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """New rows of length 1, orthogonal to each other and to the earlier ones, by Gram-Schmidt from normal numbers.

    If there is no room for so many, a row is orthogonal to as many of those right before it as there is room for.

    Args:
        earlier: [B, rows, length], B sets of any rows.
        count: how many new rows each set gets.
        generator: draws them, on the CPU.

    Returns:
        [B, count, length], of the type of `earlier`.
    """
    sets, _, length = earlier.shape
    drawn = torch.randn(sets, count, length, generator=generator, device="cpu").to(earlier)
    rows = earlier
    for some in drawn.split(length, 1):
        rows = torch.cat([rows, _orthonormal(rows, some)], 1)
    return rows[:, earlier.shape[1] :]


def _orthonormal(earlier: Tensor, drawn: Tensor) -> Tensor:
    """Gram-Schmidt of the drawn rows [B, n, length], after as many of the last earlier rows as there is room for."""
    room = drawn.shape[2] - drawn.shape[1]
    kept = earlier[:, max(0, earlier.shape[1] - room) :]
    factor, upper = torch.linalg.qr(torch.cat([kept, drawn], 1).mT)
    # The sign of Gram-Schmidt: a vector has a positive product with the numbers that it was drawn as.
    vectors = factor * upper.diagonal(dim1=1, dim2=2).sign()[:, None]
    return vectors[:, :, kept.shape[1] :].mT
