"""1x1 convolutions with a stride, without the gradient of oneDNN that writes beyond its memory.

oneDNN, with which torch convolves on x86 processors, copies the pixels that such a convolution looks at to a workspace
before it takes the weight's gradient. For a channels-last image with fewer channels than a vector has places (8 with
AVX2, 16 with AVX-512) it writes beyond the workspace (oneDNN issue 6035, in torch 2.15): the process dies, hangs, or
goes on with wrong numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.utils._python_dispatch import TorchDispatchMode

# Values that fit into the widest vectors.
_PLACES = 16


def subsample_first(network: nn.Module) -> None:
    """Let the convolutions that are at risk take the pixels that they look at, and then convolve with stride 1.

    Values, gradients and the number of operations stay the same, and so do the names of tensors. Convolutions with
    arithmetic of their own (`_conv_forward`) are left as they are.
    """
    for module in network.modules():
        if not isinstance(module, nn.Conv2d) or _arithmetic(module) is not nn.Conv2d._conv_forward:
            continue
        padded = module.padding != "valid" and any(module.padding)
        # The weight itself may be computed anew each time that it is asked for.
        if not padded and _at_risk((0, module.in_channels, *module.kernel_size), module.stride, module.groups):
            # Of the instance, not the class: parametrisations have their own classes.
            module._conv_forward = MethodType(_subsampled, module)  # type: ignore[method-assign]


def _arithmetic(conv: nn.Conv2d) -> object:
    return getattr(conv._conv_forward, "__func__", None)


def _subsampled(conv: nn.Conv2d, images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    rows, columns = conv.stride
    return conv2d(images[..., ::rows, ::columns], weight, bias)


def _at_risk(weight: Sequence[int], stride: Sequence[int], groups: int) -> bool:
    """Whether the gradient of a weight [C_out, C_in, height, width] may be the one that goes wrong."""
    return tuple(weight[2:]) == (1, 1) and max(stride) > 1 and groups == 1 and weight[1] < _PLACES


class RiskyConvolutions(TorchDispatchMode):
    """Notes the convolutions at risk that go on inside, however they are called.

    Attributes:
        found: (stride, number of channels) of each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution.default:
            _, weight, _, stride, padding, _, _, _, groups = args
            # Of a transposed convolution the weight is [C_in, C_out, ...], and its gradient that of its inverse.
            if not any(padding) and len(weight.shape) == 4 and _at_risk(weight.shape, stride, groups):
                self.found.append((max(stride), weight.shape[1]))
        return func(*args, **(kwargs or {}))
