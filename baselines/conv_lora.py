"""Low-rank adaptation of convolutions."""

from __future__ import annotations

from typing import Literal

from torch import nn
from torch.nn.utils.parametrize import register_parametrization

from baselines.shared.convolutions import convolutions_for
from baselines.shared.low_rank import LowRank
from baselines.shared.per_task import PerTask
from methods import methods
from methods.recipe import Range


@methods.register("conv-lora")
class ConvLoRA(PerTask):
    """Low-rank adaptation (Hu et al., 2021, arXiv 2106.09685) of every convolution of a frozen backbone.

    W_t = W + B_t A_t, where W is seen as a matrix [C_out, C_in / groups * k * k]; the paper's factor alpha / r is 1.
    B_t starts at zero, so the network starts as the backbone: rank * (K + C) values a task.

    Args:
        rank: the paper's r.
        bn: batch normalisation "per-task" (4 * C values) or "frozen" as the backbone's.

    Differs from the paper:
        layers: the convolutions. The paper changes the weights of attention, as `lora` does.
    """

    any_layout = True
    own = (LowRank,)
    search = {"lr": Range(1e-3, 0.1), "rank": (1, 2, 4, 8, 16)}

    def __init__(self, rank: int = 4, bn: Literal["per-task", "frozen"] = "frozen"):
        super().__init__(bn)
        if rank < 1:
            raise ValueError(f"rank={rank} must be at least 1")
        self.rank = rank

    def adapt(self, network: nn.Module) -> None:
        for conv in convolutions_for(network, "conv-lora"):
            register_parametrization(conv, "weight", LowRank(conv.weight, self.rank))
