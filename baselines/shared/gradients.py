"""Gradients of parameters that the forward pass may not use."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def gradients_of(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """The live gradients after a backward pass; a parameter that the loss does not depend on now gets zeros."""
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    return [parameter.grad for parameter in parameters if parameter.grad is not None]
