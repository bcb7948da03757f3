"""A bias per channel and task."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from baselines.shared.convolutions import convolutions_for
from baselines.shared.per_task import PerTask
from methods import methods


class Bias(nn.Module):
    """b: a number per channel, zero at first."""

    def __init__(self, channels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, output: Tensor) -> Tensor:
        """Outputs [N, C, H, W] -> outputs + b."""
        return output + self.bias


def _add_bias(conv: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return conv.get_submodule("bpn")(output)


@methods.register("bpn")
class BPN(PerTask):
    """Beneficial perturbation network (Wen et al., 2020, arXiv 2009.13954), with a bias per channel.

    After every convolution, with output c: c + b_t. The backbone is frozen and b_t starts at zero, so the network
    starts exactly as the backbone: C values a task.

    Args:
        bn: batch normalisation "frozen" as the backbone's, or "per-task": its own shift then cancels a bias before it.

    Differs from the paper:
        units: a bias per channel, which the optimiser trains as any other weight. The paper finds its biasing units as
            beneficial perturbations, the opposite of adversarial ones.
        weights: all other weights are frozen, as with the other methods on a frozen backbone here.
    """

    any_layout = True
    own = (Bias,)

    def __init__(self, bn: Literal["per-task", "frozen"] = "frozen"):
        super().__init__(bn)

    def adapt(self, network: nn.Module) -> None:
        for conv in convolutions_for(network, "bpn"):
            # A child and a hook leave the names of the backbone's own tensors as they were.
            conv.add_module("bpn", Bias(conv.out_channels).to(conv.weight))
            conv.register_forward_hook(_add_bias)
