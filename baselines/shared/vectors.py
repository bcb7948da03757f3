"""Weights as one vector."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def vector_of(tensors: Iterable[Tensor]) -> Tensor:
    """Tensors one after the other, each in the order of its indices [sum of their sizes]; a copy, with a history.

    torch's `parameters_to_vector` gives the same, but refuses weights in channels-last format.
    """
    return torch.cat([tensor.flatten() for tensor in tensors])
