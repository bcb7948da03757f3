"""1x1 convolutions with a stride, without oneDNN's gradient, which writes beyond its buffer.

torch uses oneDNN for convolutions on x86 processors. Before oneDNN computes the weight's gradient, it copies the pixels
that such a convolution reads to a workspace. If a channels-last image has fewer channels than a vector has places (8
with AVX2, 16 with AVX-512), it writes beyond the workspace (oneDNN issue 6035, in torch 2.15): the process dies, hangs,
or goes on with wrong numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.utils._python_dispatch import TorchDispatchMode

# The number of values in the widest vectors.
_PLACES = 16


def subsample_first(network: nn.Module) -> None:
    """Let the convolutions at risk first select the pixels that they read, and then convolve with stride 1.

    Values, gradients, the number of operations and the names of tensors stay the same. Convolutions with their own
    arithmetic (`_conv_forward`) are not changed.
    """
    for module in network.modules():
        if not isinstance(module, nn.Conv2d) or _arithmetic(module) is not nn.Conv2d._conv_forward:
            continue
        padded = module.padding != "valid" and any(module.padding)
        # Not the weight itself, which may be computed anew each time it is read.
        if not padded and _at_risk((0, module.in_channels, *module.kernel_size), module.stride, module.groups):
            # On the instance, not the class, because parametrisations have their own classes.
            module._conv_forward = MethodType(_subsampled, module)  # type: ignore[method-assign]


def _arithmetic(conv: nn.Conv2d) -> object:
    return getattr(conv._conv_forward, "__func__", None)


def _subsampled(conv: nn.Conv2d, images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    rows, columns = conv.stride
    return conv2d(images[..., ::rows, ::columns], weight, bias)


def _at_risk(weight: Sequence[int], stride: Sequence[int], groups: int) -> bool:
    """Whether the gradient of a weight [C_out, C_in, height, width] may go wrong."""
    return tuple(weight[2:]) == (1, 1) and max(stride) > 1 and groups == 1 and weight[1] < _PLACES


class RiskyConvolutions(TorchDispatchMode):
    """Notes the convolutions at risk that run inside it, however they are called.

    Attributes:
        found: (stride, number of channels) of each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution.default:
            _, weight, _, stride, padding, _, _, _, groups = args
            # A transposed convolution has a weight [C_in, C_out, ...], with the gradient of its inverse.
            if not any(padding) and len(weight.shape) == 4 and _at_risk(weight.shape, stride, groups):
                self.found.append((max(stride), weight.shape[1]))
        return func(*args, **(kwargs or {}))
