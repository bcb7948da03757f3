"""Gradients of parameters, of which the forward pass need not use all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def gradients_of(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """The live gradients after a backward pass: zero, from now on, where the loss does not depend on a parameter."""
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    return [parameter.grad for parameter in parameters if parameter.grad is not None]
