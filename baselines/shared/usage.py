"""How much of a convolution has been used, when the usage of each layer's output channels is known."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from methods.method import BatchNorm

# Layers that map zero to zero. ReLU and similar ones are not listed, because they do not change values from 0 to 1.
_KEEP = (nn.SiLU, nn.Hardswish, nn.GELU, nn.Mish, nn.Tanh)
# Layers that map zero to something else.
_FILL = (BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.Sigmoid, nn.Hardsigmoid)


@torch.no_grad()
def input_usage(
    backbone: nn.Module, used: Mapping[nn.Module, Tensor], image_size: int, channels: int = 3
) -> dict[nn.Conv2d, Tensor]:
    """Convolution -> usage of each channel of its input, [C_in] from 0 to 1; convolutions never called are left out.

    A copy of the backbone is run once on an image of ones, with all weights one and the outputs of the layers in `used`
    replaced by their usage. Concatenation and pooling then keep the usage. Additions give the sum, limited to 1: it is
    0 only if all terms are 0.

    Args:
        backbone: normalised images -> features; not changed.
        used: layer -> usage of each channel of its output, [C_out] from 0 to 1.
        image_size, channels: height and width of the image, and its channels.
    """
    probe = copy.deepcopy(backbone).eval()
    for parameter in probe.parameters():
        parameter.fill_(1)
    usage: dict[nn.Conv2d, Tensor] = {}
    for layer, twin in zip(backbone.modules(), probe.modules(), strict=True):
        if isinstance(twin, _KEEP):
            twin.forward = _same  # type: ignore[method-assign, assignment]
        elif isinstance(twin, _FILL):
            twin.forward = torch.ones_like  # type: ignore[method-assign]
        if layer in used:
            twin.register_forward_hook(partial(_replace, used[layer]))
        if isinstance(layer, nn.Conv2d):
            twin.register_forward_pre_hook(partial(_note, usage, layer))
    probe(next(probe.parameters()).new_ones(1, channels, image_size, image_size))
    return usage


def weight_usage(conv: nn.Conv2d, outputs: Tensor, inputs: Tensor) -> Tensor:
    """Usage of each weight: the lower usage of its two channels, [C_out, C_in / groups, 1, 1].

    Args:
        conv: the convolution.
        outputs, inputs: usage of its channels, [C_out] and [C_in] from 0 to 1.
    """
    # An output sees only the inputs of its own group.
    inputs = inputs.view(conv.groups, -1).repeat_interleave(conv.out_channels // conv.groups, dim=0)
    return torch.minimum(outputs[:, None], inputs)[:, :, None, None]


def _same(x: Tensor) -> Tensor:
    return x


def _replace(used: Tensor, layer: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    return torch.ones_like(output) * used[:, None, None]


def _note(usage: dict[nn.Conv2d, Tensor], conv: nn.Conv2d, layer: nn.Module, inputs: tuple[Tensor]) -> None:
    used = inputs[0].amax((0, 2, 3)).clamp(max=1)
    # It may be called several times.
    usage[conv] = torch.maximum(usage.get(conv, used), used)
