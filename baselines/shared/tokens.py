"""Tokens beside those of an image, on the way through the blocks of a transformer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from methods.transformers import Block


class Tokens:
    """Tokens that an image's tokens [N, L, D] get before the first block.

    They are put behind the others: the blocks treat all tokens alike, so that it is the same as before the patches, and
    a class token stays the first one.

    Attributes:
        prompt: [N, R, D], or [1, R, D] for all images; None for no such tokens.
    """

    def __init__(self) -> None:
        self.prompt: Tensor | None = None

    def add(self, blocks: Sequence[Block]) -> None:
        """Let the tokens pass through these blocks. Hooks leave the names of the network's tensors as they were."""
        blocks[0].module.register_forward_pre_hook(self._insert)
        blocks[-1].module.register_forward_hook(self._after)

    def after(self, x: Tensor, prompt: Tensor) -> Tensor:
        """What follows the blocks gets: here the tokens [N, L, D] of the image alone."""
        return x[:, : -prompt.shape[1]]

    # Bound methods as hooks are copied with the network.

    def _insert(self, block: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self.prompt is None:
            return None
        x, *others = inputs
        return torch.cat([x, self.prompt.expand(len(x), -1, -1).to(x.dtype)], 1), *others

    def _after(self, block: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
        return None if self.prompt is None else self.after(output, self.prompt)
