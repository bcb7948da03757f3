"""A low-rank change of each convolution per task, written from CONTRIBUTING alone."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from methods import BatchNorm, Method, Network, Part, Range, Recipe, methods


class LowRank(nn.Module):
    """W -> W + B A / rank, with W [C, ...] seen as a matrix [C, K], A [rank, K], B [C, rank]."""

    def __init__(self, weight: Tensor, rank: int):
        super().__init__()
        width = weight[0].numel()
        # Drawn on the CPU, for the same values on every device.
        self.a = nn.Parameter(torch.randn(rank, width, device="cpu").to(weight) / width**0.5)
        self.b = nn.Parameter(weight.new_zeros(len(weight), rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.b @ self.a / len(self.a)).view_as(weight)


@methods.register("task-lora")
class TaskLoRA(Method):
    """Low-rank adaptation (Hu et al., 2022, arXiv 2106.09685) of every convolution, one for each task.

    W_t = W + B_t A_t / rank: the paper's alpha is 1. The backbone is frozen; B_t starts at zero.

    Args:
        rank: the paper's r.
        bn: batch normalisation "task" of its own for each task, or "frozen" as the backbone's.
    """

    recipe = Recipe(optimizer="adam", lr=0.01)
    search = {"lr": Range(1e-3, 0.1), "rank": (1, 2, 4, 8)}
    isolates_tasks = True

    def __init__(self, rank: int = 4, bn: Literal["task", "frozen"] = "task"):
        super().__init__()
        if rank < 1:
            raise ValueError(f"rank={rank} must be at least 1")
        self.rank = rank
        self.bn = bn

    def adapt(self, network: Network) -> None:
        for module in list(network.backbone.modules()):
            if isinstance(module, nn.Conv2d):
                register_parametrization(module, "weight", LowRank(module.weight, self.rank))

    def part(self, module: nn.Module, name: str) -> Part:
        if isinstance(module, BatchNorm):
            return self.bn
        return "task" if isinstance(module, LowRank) else "frozen"
