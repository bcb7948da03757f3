"""Binary masks as bits: eight values a byte."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

_PLACES = (1, 2, 4, 8, 16, 32, 64, 128)


def pack_bits(mask: Tensor) -> Tensor:
    """A mask of any shape -> uint8 [ceil(values / 8)]: bit i of byte j is value 8j + i, the last bits are 0."""
    bits = mask.flatten().to(torch.uint8)
    rows = pad(bits, (0, -len(bits) % 8)).view(-1, 8)
    return (rows * rows.new_tensor(_PLACES)).sum(1, dtype=torch.uint8)


def unpack_bits(packed: Tensor, shape: Sequence[int]) -> Tensor:
    """The inverse of `pack_bits`: a bool mask of `shape`."""
    bits = packed[:, None].bitwise_and(packed.new_tensor(_PLACES)).ne(0).flatten()
    return bits[: torch.Size(shape).numel()].view(*shape)
