"""The mean input of convolutions, with which batch normalisation can follow changed weights."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from baselines.shared.convolutions import norm_after
from methods import Network, UserError
from methods.devices import double
from methods.errors import cannot


class InputMeans(nn.Module):
    """The means of a convolution's input, per phase of its stride and channel [phases, C_in], as a moving average.

    With a stride (s, t), phase (i, j) is rows i, i + s, i + 2s, ... and columns j, j + t, ...: the pixels that one
    weight of the kernel is multiplied with.

    Args:
        conv: the convolution.
        momentum: the weight of a new batch, as in the batch normalisation that follows.
        first: the first batch sets the average.
    """

    def __init__(self, conv: nn.Conv2d, momentum: float, first: bool):
        super().__init__()
        self.stride = conv.stride
        self.momentum = momentum
        self.first = first
        self.register_buffer("means", conv.weight.new_zeros(prod(conv.stride), conv.in_channels))

    @torch.no_grad()
    def forward(self, images: Tensor) -> None:
        """Take in a batch [N, C_in, H, W]."""
        rows, columns = self.stride
        phases = [images[:, :, i::rows, j::columns] for i in range(rows) for j in range(columns)]
        means = self.get_buffer("means")
        # An image smaller than the stride has phases without pixels: the kernel sees padding there, so their mean is 0.
        new = [
            pixels.mean((0, 2, 3), dtype=means.dtype) if pixels.numel() else torch.zeros_like(means[0])
            for pixels in phases
        ]
        means.lerp_(torch.stack(new), 1.0 if self.first else self.momentum)
        self.first = False


def _observe(conv: nn.Module, inputs: tuple[Tensor]) -> None:
    if conv.training:
        conv.get_submodule("input")(inputs[0])


@torch.no_grad()
def mean_output(conv: nn.Conv2d, means: Tensor) -> Tensor:
    """The output of `conv`, [C_out] in double precision, for an input equal to its means [phases, C_in]."""
    # Padding given as a word is none, or needs stride 1, which has one phase.
    padding = (0, 0) if isinstance(conv.padding, str) else conv.padding
    rows, columns = (
        [(step * dilation - pad) % stride for step in range(size)]
        for size, dilation, pad, stride in zip(conv.kernel_size, conv.dilation, padding, conv.stride, strict=True)
    )
    patch = means.to(conv.weight.device).view(*conv.stride, -1)[rows][:, columns].permute(2, 0, 1)
    bias = None if conv.bias is None else double(conv.bias)
    return conv2d(double(patch[None]), double(conv.weight), bias, groups=conv.groups).flatten()


def add_input_means(network: Network, method: str, first: bool) -> None:
    """Observe the input of each convolution that batch normalisation follows.

    Args:
        network: the network.
        method: the method's name, for the message.
        first: the first batch sets the averages.

    Raises:
        UserError: there is no such convolution.
    """
    pairs = norm_after(network)
    if not pairs:
        raise UserError(cannot(method, "it works on convolutions that batch normalisation follows, and there are none"))
    for conv, norm in pairs.items():
        # A child and a hook leave the names of the backbone's own tensors as they were.
        conv.add_module("input", InputMeans(conv, norm.momentum or 0.0, first))
        conv.register_forward_pre_hook(_observe)


def shifted(network: Network, tensors: dict[str, Tensor], sign: int) -> dict[str, Tensor]:
    """`tensors` with the running means changed by the mean outputs that the network's weights give.

    Args:
        tensors: a task's tensors, with the means of the inputs.
        sign: 1 to add the mean outputs, -1 to subtract them.
    """
    names = {module: name for name, module in network.named_modules()}
    changed = dict(tensors)
    for conv, norm in norm_after(network).items():
        mean = f"{names[norm]}.running_mean"
        if mean in tensors:
            output = mean_output(conv, tensors[f"{names[conv]}.input.means"])
            changed[mean] = (tensors[mean].to(output) + sign * output).to(tensors[mean])
    return changed
