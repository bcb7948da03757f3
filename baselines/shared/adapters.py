"""Bottlenecks beside the perceptrons of a transformer, or beside the convolutions of another network."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, relu

from baselines.shared.convolutions import convolutions, keeps_size
from methods.errors import UserError, cannot
from methods.norms import is_norm
from methods.transformers import Block, blocks


class Adapter(nn.Module):
    """Up(ReLU(Down x)), with Down [bottleneck, inputs] random, Up [outputs, bottleneck] and both biases zero.

    Args:
        like: a tensor of the type and on the device that the parameters get.

    Attributes:
        scale: by which the output is multiplied where it is added.
        active: whether it takes part; otherwise its hooks do nothing.
    """

    def __init__(self, inputs: int, outputs: int, bottleneck: int, scale: float, like: Tensor):
        super().__init__()
        # Drawn on the CPU, so that the initial values do not depend on the device.
        down = torch.empty(bottleneck, inputs, device="cpu")
        nn.init.kaiming_uniform_(down, a=math.sqrt(5))
        # No modules of their own, or a block would seem to have another perceptron.
        self.down = nn.Parameter(down.to(like))
        self.down_bias = nn.Parameter(like.new_zeros(bottleneck))
        self.up = nn.Parameter(like.new_zeros(outputs, bottleneck))
        self.up_bias = nn.Parameter(like.new_zeros(outputs))
        self.scale = scale
        self.active = True


class TokenAdapter(Adapter):
    """Beside the perceptron of a block: x + MLP(norm x) becomes x + MLP(norm x) + scale * Up(ReLU(Down x)).

    So it reads x before the norm. Where the norm follows the perceptron, the sum is after that norm.
    """

    def __init__(self, block: Block, bottleneck: int, scale: float):
        like = next(block.mlp.parameters())
        super().__init__(block.width, block.width, bottleneck, scale, like)
        self._normed: tuple[Tensor, Tensor] | None = None
        self._x: Tensor | None = None
        for child in block.module.children():
            if is_norm(child):
                child.register_forward_hook(self._after_norm)
        block.mlp.register_forward_pre_hook(self._before_mlp)
        (block.mlp if block.mlp_is_branch else block.module).register_forward_hook(self._add)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [..., D] -> [..., D]."""
        return linear(relu(linear(x, self.down, self.down_bias)), self.up, self.up_bias)

    # Bound methods as hooks are copied with the network.

    def _after_norm(self, norm: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if self.active:
            self._normed = inputs[0], output

    def _before_mlp(self, mlp: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if self.active:
            normed = self._normed
            self._x = normed[0] if normed is not None and normed[1] is inputs[0] else inputs[0]

    def _add(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        x, self._x, self._normed = self._x, None, None
        # A block may have the tokens of a grid in one row.
        return None if x is None else torch.add(output, self(x).reshape(output.shape), alpha=self.scale)


class ConvAdapter(Adapter):
    """Beside a convolution: conv(x) becomes conv(x) + scale * Up(ReLU(Down x)), where Down has the stride of conv."""

    def __init__(self, conv: nn.Conv2d, bottleneck: int, scale: float):
        super().__init__(conv.in_channels, conv.out_channels, bottleneck, scale, conv.weight)
        conv.register_forward_hook(self._add)

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, inputs, H, W] -> [N, outputs, H, W]."""
        hidden = relu(conv2d(x, self.down[..., None, None], self.down_bias))
        return conv2d(hidden, self.up[..., None, None], self.up_bias)

    def _add(self, conv: nn.Conv2d, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if not self.active:
            return None
        rows, columns = conv.stride
        # Without a stride in the adapter: torch gets its gradient wrong for few channels (see backbones/strided.py).
        return torch.add(output, self(inputs[0][..., ::rows, ::columns]), alpha=self.scale)


def check_adapters(bottleneck: int, scale: float) -> None:
    """Raise ValueError if there are no adapters of these options, or if they would change nothing."""
    if bottleneck < 1:
        raise ValueError(f"bottleneck={bottleneck} must be at least 1")
    if scale == 0:
        raise ValueError("scale=0 must be another number: the adapters would change nothing")


def add_adapters(
    network: nn.Module, bottleneck: int, scale: float, method: str, name: str = "adapter"
) -> list[TokenAdapter] | list[ConvAdapter]:
    """Add an adapter to each block of a transformer, or to each convolution that is wider than 1x1 and keeps the size.

    Several with different names can be added; the sum of those that are `active` takes part.

    Args:
        bottleneck: the length of what is between Down and Up.
        scale: of what is added.
        method: its name, for the message.
        name: of the adapters, as children of the blocks or convolutions.

    Returns:
        The adapters, in the order of their places.

    Raises:
        UserError: there is no place for one.
    """
    found = blocks(network)
    if found:
        tokens = [TokenAdapter(block, bottleneck, scale) for block in found]
        for block, one in zip(found, tokens, strict=True):
            block.module.add_module(name, one)
        return tokens
    places = [conv for conv in convolutions(network) if conv.kernel_size != (1, 1) and keeps_size(conv)]
    if not places:
        why = (
            "it works on the blocks of a transformer, or on convolutions that are wider than 1x1 and keep the size of "
            "the image, and there are none"
        )
        raise UserError(cannot(method, why))
    beside = [ConvAdapter(conv, bottleneck, scale) for conv in places]
    for conv, each in zip(places, beside, strict=True):
        conv.add_module(name, each)
    return beside
