"""Tokens beside those of an image."""

from __future__ import annotations

import torch
from torch import Tensor


def with_tokens(x: Tensor, tokens: Tensor, replaced: int = 0) -> Tensor:
    """Put tokens behind those of an image.

    Blocks treat all tokens alike, so that it is the same as before the patches; and a class token stays the first one.

    Args:
        x: the input of a block [N, L, D].
        tokens: [N, R, D], or [R, D] for all images.
        replaced: how many of the last tokens of `x` are left out.

    Returns:
        [N, L - replaced + R, D].
    """
    return torch.cat([x[:, : x.shape[1] - replaced], tokens.expand(x.shape[0], -1, -1).to(x.dtype)], 1)
