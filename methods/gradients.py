"""Gradients that a method reads or changes after the backward pass, for all parameters at once.

A step of a small network on a GPU takes as long as it takes to start its kernels. So what is done to every parameter is
done by torch._foreach_* functions, which start a few kernels for a whole list of tensors.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def gradients_of(parameters: Sequence[Tensor]) -> list[Tensor]:
    """The live gradients after a backward pass; a parameter that the loss does not depend on now gets zeros."""
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def parts_like(vector: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """A vector [sum of the tensors' sizes], cut into parts of the tensors' shapes.

    The parts are views, unless a tensor's values are in another order in memory: the _foreach functions are fast only
    for lists whose tensors have the same strides.
    """
    parts = [part.view_as(one) for part, one in zip(vector.split([t.numel() for t in tensors]), tensors, strict=True)]
    return [
        part if part.stride() == one.stride() else torch.empty_like(one).copy_(part)
        for part, one in zip(parts, tensors, strict=True)
    ]
