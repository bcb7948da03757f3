"""Low-rank changes of weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class LowRank(nn.Module):
    """W + scale B A for a weight W [C_out, ...] seen as a matrix [C_out, K].

    A [rank, K] is random and B [C_out, rank] zero.
    """

    def __init__(self, weight: Tensor, rank: int, scale: float = 1.0):
        super().__init__()
        # Drawn on the CPU, so that the initial values do not depend on the device.
        down = torch.empty(rank, weight[0].numel(), device="cpu")
        nn.init.kaiming_uniform_(down, a=math.sqrt(5))
        self.down = nn.Parameter(down.to(weight))
        self.up = nn.Parameter(weight.new_zeros(len(weight), rank))
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        change = self.up @ self.down
        return torch.add(weight, change.view_as(weight), alpha=self.scale)


class Rows(nn.Module):
    """A weight whose equal parts of rows, as those of queries, keys and values, are each changed by a module."""

    def __init__(self, changes: Sequence[nn.Module]):
        super().__init__()
        self.changes = nn.ModuleList(changes)

    def forward(self, weight: Tensor) -> Tensor:
        parts = weight.chunk(len(self.changes))
        return torch.cat([change(part) for change, part in zip(self.changes, parts, strict=True)])
