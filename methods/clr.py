"""CLR: channel-wise lightweight reprogramming, and its two variants."""

from __future__ import annotations

from math import isqrt

import torch
from torch import Tensor, nn

from methods import methods
from methods.errors import UserError, cannot
from methods.gradients import gradients_of, parts_like
from methods.method import Method, Part
from methods.norms import is_norm
from methods.recipe import Range, Recipe
from methods.step import Step
from methods.transformers import Block, blocks, tokens_before_patches


class ReprogrammingKernel(nn.Conv2d):
    """A depthwise k x k convolution, stride 1, same size, no bias, that starts as the identity."""

    def __init__(self, channels: int, size: int):
        super().__init__(channels, channels, size, padding=size // 2, groups=channels, bias=False)
        nn.init.dirac_(self.weight, groups=channels)


class TokenKernel(ReprogrammingKernel):
    """A kernel on the grid of the tokens that a block gives; other tokens, as a class token, pass unchanged.

    Args:
        block: the block.
        size: of the kernel.
        others: how many tokens the network says that it puts before those of the grid.
    """

    def __init__(self, block: Block, size: int, others: int = 0):
        super().__init__(block.width, size)
        self.others = others
        self.channels_first = block.mlp_is_branch

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [N, L, D], [N, H, W, D], or [N, D, H, W] from blocks that make windows of a grid -> the same shape."""
        if x.ndim == 3:
            return self._in_a_row(x)
        if self.channels_first or x.shape[-1] != self.in_channels:
            return super().forward(x)
        return super().forward(x.movedim(-1, 1)).movedim(1, -1)

    def _in_a_row(self, x: Tensor) -> Tensor:
        side = isqrt(max(0, x.shape[1] - self.others))
        if side**2 != x.shape[1] - self.others or not side:
            # It said nothing, or puts them there after this block. The largest grid that there is room for is right if
            # there are at most two tokens for each of its rows.
            side = isqrt(x.shape[1])
        # The grid comes last, after a class token and others.
        others, patches = x.split((x.shape[1] - side**2, side**2), 1)
        grid = super().forward(patches.transpose(1, 2).unflatten(2, (side, side)))
        return torch.cat([others, grid.flatten(2).transpose(1, 2)], 1)


def _reprogram(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return layer.get_submodule("clr")(output)


def _follow(layer: nn.Module, kernel: ReprogrammingKernel) -> None:
    # A child and a hook leave the names of the backbone's own tensors as they were.
    layer.add_module("clr", kernel)
    layer.register_forward_hook(_reprogram)


@methods.register("clr")
class CLR(Method):
    """Channel-wise lightweight reprogramming (Ge et al., ICCV 2023, arXiv 2307.11386).

    The pretrained backbone is frozen. A depthwise 3x3 convolution that starts as the identity follows every convolution
    whose kernel is not 1x1. These convolutions, normalisation (affine, and the statistics of batch normalisation) and
    the head belong to the task, so tasks are independent and nothing is forgotten: 9 * C3 + 4 * C values a task.

    The article has convolutional networks alone. In a transformer, as this project's own extension, such a convolution
    follows each block instead, on the grid of its tokens; a class token passes unchanged. That is 9 D values for each
    block beside the norms: 12 * 9 * 768 + 38,400 for a ViT-B/16.

    L = CE + penalty * sum_j |w_j| over the trained tensors w_j. The gradient of a norm, w_j / |w_j| or 0 at w_j = 0, is
    known without autograd, and is added after the backward pass.

    Args:
        penalty: coefficient of the sum of the L2 norms of the trained tensors.

    Differs from the paper:
        learning rate: it begins at 0.01 and falls like a cosine. The paper's begins at 0.001, and is a tenth of that
            after each third of the epochs (`lr=0.001:schedule=step`, as `--preset paper` has it).
        accuracy: that after the last epoch. The authors' code reports the best epoch, judged by the images on which the
            accuracy is reported; `keep=best` judges by validation images.
    """

    any_layout = True
    recipe = Recipe(optimizer="adam", lr=0.01)
    search = {"lr": Range(1e-3, 0.1)}
    isolates_tasks = True

    def __init__(self, penalty: float = 1e-5):
        super().__init__()
        if penalty < 0:
            raise ValueError(f"penalty={penalty:g} must not be negative")
        self.penalty = penalty

    def kernel_size(self, conv: nn.Conv2d) -> int | None:
        """The size of the kernel that follows `conv`; None for no kernel."""
        return None if conv.kernel_size == (1, 1) else 3

    def adapt(self, network: nn.Module) -> None:
        found, others = blocks(network), tokens_before_patches(network)
        for block in found:
            _follow(block.module, TokenKernel(block, 3, others).to(next(block.mlp.parameters())))
        convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
        for conv in () if found else convs:
            size = self.kernel_size(conv)
            if size is not None:
                _follow(conv, ReprogrammingKernel(conv.out_channels, size).to(conv.weight))
        if not any(isinstance(module, ReprogrammingKernel) for module in network.modules()):
            why = "it works on convolutions and on the blocks of a transformer, and there are none that it would follow"
            raise UserError(cannot(self.name, why))

    def part(self, module: nn.Module, name: str) -> Part:
        return "task" if isinstance(module, ReprogrammingKernel) or is_norm(module) else "frozen"

    def before_training_exp(self, step: Step) -> None:
        #: The number of the tensor to which each trained value belongs, [sum of the sizes].
        self.owner = torch.cat([torch.full_like(w, j, dtype=torch.int64).flatten() for j, w in enumerate(step.trained)])
        self.trained: list[Tensor] = [*step.trained]

    @torch.no_grad()
    def before_backward(self, step: Step) -> None:
        # All norms at once, because there are many small tensors.
        self.norms = torch.stack(torch._foreach_norm(self.trained))
        step.loss += self.penalty * self.norms.sum()

    @torch.no_grad()
    def after_backward(self, step: Step) -> None:
        tiny = torch.finfo(self.norms.dtype).tiny
        # For each trained value the norm of its own tensor: one indexing in place of a division for each tensor.
        divisors = parts_like(self.norms.clamp(min=tiny)[self.owner], self.trained)
        torch._foreach_addcdiv_(gradients_of(self.trained), self.trained, divisors, value=self.penalty)


@methods.register("clr-full")
class CLRFull(CLR):
    """CLR with a 3x3 kernel after every convolution, 1x1 ones too (Ge et al., ICCV 2023, arXiv 2307.11386).

    That is 9 * C + 4 * C values a task. In a transformer it is CLR.

    Args:
        penalty: coefficient of the sum of the L2 norms of the trained tensors.

    Differs from the paper:
        learning rate, accuracy: as with `clr`.
    """

    any_layout = True

    def kernel_size(self, conv: nn.Conv2d) -> int | None:
        return 3


@methods.register("clr-mixed")
class CLRMixed(CLR):
    """CLR with kernels of 3x3 and, after 1x1 convolutions, of 1x1 (Ge et al., ICCV 2023, arXiv 2307.11386).

    A 1x1 kernel is a scale per channel. In a transformer it is CLR.

    Args:
        penalty: coefficient of the sum of the L2 norms of the trained tensors.

    Differs from the paper:
        learning rate, accuracy: as with `clr`.
    """

    any_layout = True

    def kernel_size(self, conv: nn.Conv2d) -> int | None:
        return 1 if conv.kernel_size == (1, 1) else 3
