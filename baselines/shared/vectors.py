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


def values_in_memory(tensor: Tensor) -> Tensor:
    """A tensor's values in the order in which they lie in memory [its size]: a view, if nothing lies between them.

    For what does not depend on the order: `flatten` copies each weight in channels-last format. Tensors with the same
    shape and strides have the same order.
    """
    return tensor.permute(sorted(range(tensor.ndim), key=tensor.stride, reverse=True)).flatten()


def lengthened(vector: Tensor, longer: Tensor) -> Tensor:
    """A vector of an earlier task, with the last values of `longer` for parameters that are new.

    A joint head grows at the end of the shared parameters; otherwise the vector has its full length already.
    """
    new = longer[len(vector) :]
    return torch.cat([vector, new]) if len(new) else vector
