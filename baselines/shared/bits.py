"""Binary masks as bits: eight values a byte."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

if TYPE_CHECKING:
    from methods.network import Network

M = TypeVar("M", bound=nn.Module)

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


def packable(network: Network, tensors: Mapping[str, Tensor], owner: type[M]) -> Iterator[tuple[str, M, Tensor]]:
    """(name, module, live tensor) of each of `tensors` that belongs to a module of the class `owner`.

    Args:
        network: the network that has these tensors.
        tensors: name -> tensor, of one part of the state.
        owner: a class whose tensors are all stored as bits.
    """
    for name, module, live in network.tensors():
        if isinstance(module, owner) and name in tensors:
            yield name, module, live
