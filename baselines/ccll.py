"""Calibration of the activation maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from baselines.shared.anchored import Anchored
from baselines.shared.at_once import AtOnce
from baselines.shared.convolutions import convolutions_for, norm_after
from methods import Network, Start, methods
from methods.recipe import Range


class Spatial(nn.Conv2d):
    """c + DW(c), as one convolution with the kernel of DW plus the identity.

    DW is a depthwise 3x3 convolution, same size, no bias, that starts at zero.
    """

    identity: Tensor

    def __init__(self, channels: int):
        super().__init__(channels, channels, 3, padding=1, groups=channels, bias=False)
        identity = nn.init.dirac_(torch.empty_like(self.weight), groups=channels)
        self.register_buffer("identity", identity, persistent=False)
        nn.init.zeros_(self.weight)
        # The kernel, only during a pass through the backbone.
        self.kernel: Tensor | None = None

    def forward(self, c: Tensor) -> Tensor:
        assert self.kernel is not None
        return self._conv_forward(c, self.kernel, None)


def _kernels(each: Sequence[Spatial]) -> tuple[Tensor, ...]:
    """The kernels of all, from one sum."""
    return torch._foreach_add([one.weight for one in each], [one.identity for one in each])


class _Pool(torch.autograd.Function):
    """(u, w) -> (u, w * GAP(u)). Both gradients of u are added as one is computed, which saves a GPU two kernels."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        mean = u.mean((2, 3), keepdim=True)
        ctx.save_for_backward(weight, mean)
        ctx.pixels = u.shape[2] * u.shape[3]
        return u.view_as(u), weight * mean

    @staticmethod
    def backward(ctx: Any, of_u: Tensor, of_pooled: Tensor) -> tuple[Tensor, Tensor]:
        weight, mean = ctx.saved_tensors
        return torch.addcmul(of_u, of_pooled, weight, value=1 / ctx.pixels), (of_pooled * mean).sum(0)


class Gate(nn.Module):
    """u * sigmoid(BN'(w * GAP(u))): a factor per image and channel that starts at 1/2 for any u."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.norm = nn.BatchNorm2d(channels)
        self.norm.num_batches_tracked = None
        nn.init.zeros_(self.norm.weight)

    def forward(self, u: Tensor) -> Tensor:
        u, pooled = _Pool.apply(u, self.weight)
        return u * torch.sigmoid(self.norm(pooled))


def _add_spatial(conv: nn.Module, inputs: tuple[Tensor, ...], c: Tensor) -> Tensor:
    moved: Tensor = conv.get_submodule("spatial")(c)
    return moved


def _apply_gate(layer: nn.Module, inputs: tuple[Tensor, ...], u: Tensor) -> Tensor:
    gated: Tensor = layer.get_submodule("gate")(u)
    return gated


@methods.register("ccll")
class CCLL(Anchored):
    """Calibrating CNNs for lifelong learning (Singh et al., NeurIPS 2020).

    After every convolution, with output c: u = BN_t(c + DW_t(c)), out = u * sigmoid(BN'_t(w_t * GAP(u))). DW is a
    depthwise 3x3 convolution, w a weight per channel, GAP the mean over the pixels, BN the network's own batch
    normalisation after that convolution (u = c + DW_t(c) if none follows), BN' another one: 14 * C values a task and 4
    * C statistics.

    The gate starts at 1/2 (BN' with scale and shift 0), so its input starts doubled: scale and shift of BN are doubled,
    or, without BN, DW starts as the identity. So the network starts exactly as the backbone. The fixed backbone of
    later tasks is the network of the first one: their DW, w, BN and BN' start at those of the first task.

    Args:
        anchor: "first-task": the first task trains the whole network, and then it is fixed; "pretrained": it is the
            backbone as given, fixed from the first task on, and each task starts exactly as it.

    Differs from the paper:
        start: the first task starts exactly as the backbone, pretrained if that is. For this, the scales of batch
            normalisation are doubled. With `anchor=pretrained` the backbone is not trained at all.
    """

    any_layout = True
    recipe = replace(Anchored.recipe, lr=0.1)
    search = {"lr": Range(3e-3, 1.0)}
    own = (Spatial, Gate)

    def starts_at(self, module: nn.Module, name: str) -> Start:
        return "first-task" if self.anchor == "first-task" else "initial"

    @torch.no_grad()
    def adapt(self, network: Network) -> None:
        norms = norm_after(network)
        spatials = []
        for conv in convolutions_for(network, "ccll"):
            spatial, gate = Spatial(conv.out_channels), Gate(conv.out_channels)
            if conv in norms:
                for tensor in norms[conv].parameters():
                    tensor.mul_(2)
            else:
                nn.init.dirac_(spatial.weight, groups=conv.out_channels)
            spatials.append(spatial.to(conv.weight))
            # Children and hooks leave the names of the backbone's own tensors as they were.
            conv.add_module("spatial", spatial)
            conv.register_forward_hook(_add_spatial)
            gated = norms.get(conv, conv)
            gated.add_module("gate", gate.to(conv.weight))
            gated.register_forward_hook(_apply_gate)
        AtOnce(spatials, "kernel", partial(_kernels, spatials)).add(network.backbone)
