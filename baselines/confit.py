"""Fine-tuning with batch normalisation that follows the weights."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from baselines.shared.convolutions import norm_after
from baselines.shared.finetuning import FineTuning
from methods import methods
from methods.method import BatchNorm, Part


class InputMeans(nn.Module):
    """The means of a convolution's input, per phase of its stride and channel [phases, C_in], as a moving average.

    Of a stride (s, t), phase (i, j) is rows i, i + s, i + 2s, ... and columns j, j + t, ...: what one and the same
    weight of the kernel meets.

    Args:
        conv: the convolution.
        momentum: the weight of a new batch, that of the batch normalisation which follows.
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
        # An image smaller than the stride has phases without a pixel, where the kernel meets padding: their mean is 0.
        means = self.get_buffer("means")
        sums = [pixels.sum((0, 2, 3), dtype=means.dtype) / max(1, pixels[:, 0].numel()) for pixels in phases]
        means.lerp_(torch.stack(sums), 1.0 if self.first else self.momentum)
        self.first = False


def _observe(conv: nn.Module, inputs: tuple[Tensor]) -> None:
    if conv.training:
        conv.get_submodule("input")(inputs[0])


@torch.no_grad()
def mean_output(conv: nn.Conv2d, means: Tensor) -> Tensor:
    """The output of `conv`, [C_out] in double precision, where the input is equal to its means [phases, C_in]."""
    # Padding in words is none, or goes with stride 1, which has one phase.
    padding = (0, 0) if isinstance(conv.padding, str) else conv.padding
    rows, columns = (
        [(step * dilation - pad) % stride for step in range(size)]
        for size, dilation, pad, stride in zip(conv.kernel_size, conv.dilation, padding, conv.stride, strict=True)
    )
    patch = means.to(conv.weight.device).view(*conv.stride, -1)[rows][:, columns].permute(2, 0, 1)
    bias = None if conv.bias is None else conv.bias.double()
    return conv2d(patch[None].double(), conv.weight.double(), bias, groups=conv.groups).flatten()


@methods.register("confit")
class ConFiT(FineTuning):
    """ConFiT (Jie et al., 2022, arXiv 2204.10535).

    Batch normalisation belongs to the task, everything else is shared. Epochs up to a fifth of all train the head,
    those up to the half batch normalisation too, the rest everything; each task starts at the values of the one before.

    When later tasks have changed a convolution W to W', an old task's running mean mu is no longer that of its output.
    Stored beside it are the means m of the convolution's input, per channel and phase of the stride: 4 * C + sum of
    C_in * stride^2 values a task. W * m is the output for an input that equals its means. The paper puts W' * m in the
    place of mu. Here, deliberately, mu moves by W' * m - W * m: zero padding and the moving averages make mu differ
    from W * m even where nothing has changed, and that stays as it was. To this end mu - W * m is stored, and W' * m
    is added when it is restored.
    """

    continues = True

    def __init__(self) -> None:
        super().__init__(bn="per-task")

    def adapt(self, network: nn.Module) -> None:
        for conv, norm in norm_after(network).items():
            # A child and a hook leave the names of the backbone's own tensors as they were.
            conv.add_module("input", InputMeans(conv, norm.momentum or 0.0, first=self.task == 1))
            conv.register_forward_pre_hook(_observe)

    def part(self, module: nn.Module, name: str) -> Part:
        return "task" if isinstance(module, InputMeans) else super().part(module, name)

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        epoch, epochs = strategy.clock.train_exp_epochs + 1, strategy.train_epochs
        for module in strategy.model.backbone.modules():
            # Batch normalisation waits for a fifth of the epochs, the rest for the half.
            waits = 5 if isinstance(module, BatchNorm) else 2
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(epoch * waits > epochs)

    def stored(self, network: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return _shifted(network, tensors, sign=-1)

    def restored(self, network: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return _shifted(network, tensors, sign=1)


def _shifted(network: nn.Module, tensors: dict[str, Tensor], sign: int) -> dict[str, Tensor]:
    """`tensors` with the running means changed by the mean outputs that the network's weights give."""
    names = {module: name for name, module in network.named_modules()}
    shifted = dict(tensors)
    for conv, norm in norm_after(network).items():
        mean = f"{names[norm]}.running_mean"
        if mean in tensors:
            output = mean_output(conv, tensors[f"{names[conv]}.input.means"])
            shifted[mean] = (tensors[mean].to(output) + sign * output).to(tensors[mean])
    return shifted
