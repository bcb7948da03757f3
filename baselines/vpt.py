"""Prompt tokens beside the patches of a transformer."""

from __future__ import annotations

from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from baselines.shared.convolutions import convolutions
from baselines.shared.per_task import PerTask
from baselines.shared.tokens import with_tokens
from methods import methods
from methods.recipe import Range, Recipe
from methods.transformers import sequence_blocks_for

#: Whether the first block alone has prompts, or each has its own.
Depth = Literal["shallow", "deep"]


class Prompts(nn.Module):
    """Tokens behind those of an image.

    Args:
        tokens: how many.
        width: their length D.
        reach: they start uniformly between -reach and reach.
        replaced: how many prompt tokens the input of the block has from the block before.
        like: a tensor of the type and on the device that the tokens get.

    Attributes:
        active: whether they take part; otherwise the hooks do nothing.
    """

    def __init__(self, tokens: int, width: int, reach: float, replaced: int, like: Tensor):
        super().__init__()
        # Drawn on the CPU, so that the initial values do not depend on the device.
        self.tokens = nn.Parameter(torch.empty(tokens, width, device="cpu").uniform_(-reach, reach).to(like))
        self.replaced = replaced
        self.active = True

    # Bound methods as hooks are copied with the network.

    def insert(self, block: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Let the input [N, L, D] of a block have the prompts at its end."""
        if not self.active:
            return None
        x, *others = inputs
        return with_tokens(x, self.tokens, self.replaced), *others

    def remove(self, block: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
        """Take the outputs of the prompts away again: what follows may be a mean of all tokens."""
        return output[:, : -len(self.tokens)] if self.active else None


@methods.register("vpt")
class VPT(PerTask):
    """Visual prompt tuning (Jia et al., ECCV 2022, arXiv 2203.12119) of a frozen vision transformer.

    n prompt tokens p_t [n, D] go through the blocks behind those of the image, and get no position. So the blocks make
    the same of them as in the paper, where they are between the class token and the patches. Shallow: those of the
    first block, [x, p] -> block 1 -> ... -> block L, n D values a task. Deep: each block i has its own, and what the
    block before made of its prompts is dropped, [x_i, p_i] -> block i; L n D values, 92,160 for a ViT-B/16. They start
    as the authors': uniform in +- sqrt(6 / (3 p + D)), where p is the number of pixels of a patch.

    Args:
        tokens: n.
        depth: "deep" or "shallow".

    Differs from the paper:
        dropout: none. The authors' code has dropout on the prompts: 0 by default, .1 in its demonstration.
    """

    any_layout = True
    own = (Prompts,)
    recipe = Recipe(optimizer="adam", lr=0.01)
    search = {"lr": Range(1e-3, 0.1), "tokens": (1, 5, 10, 20, 50), "depth": ("shallow", "deep")}

    def __init__(self, tokens: int = 10, depth: Depth = "deep"):
        super().__init__(bn="frozen")
        if tokens < 1:
            raise ValueError(f"tokens={tokens} must be at least 1")
        self.tokens = tokens
        self.depth = depth

    def adapt(self, network: nn.Module) -> None:
        add_prompts(network, self.tokens, self.depth, self.name)


def add_prompts(network: nn.Module, tokens: int, depth: Depth, method: str) -> list[Prompts]:
    """Add prompt tokens to the first block of a transformer, or to each.

    Args:
        tokens: how many a block gets.
        method: its name, for the message.

    Raises:
        UserError: the network has no blocks that take tokens in a row.
    """
    found = sequence_blocks_for(network, method)
    width, like = found[0].width, next(found[0].mlp.parameters())
    # Convolutions of all strides make the patches.
    pixels = prod(prod(conv.stride) for conv in convolutions(network))
    reach = (6 / (3 * pixels + width)) ** 0.5
    prompts: list[Prompts] = []
    for block in found if depth == "deep" else found[:1]:
        prompts.append(Prompts(tokens, width, reach, tokens if prompts else 0, like))
        block.module.add_module("prompts", prompts[-1])
        block.module.register_forward_pre_hook(prompts[-1].insert)
    found[-1].module.register_forward_hook(prompts[-1].remove)
    return prompts
