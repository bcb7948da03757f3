"""The quadratic penalty against autograd, in double precision."""

from __future__ import annotations

import torch
from torch import nn

from baselines.shared.quadratic import Quadratic


def test_value_and_gradient() -> None:
    """Of a matrix, weights with the channels last in memory, a parameter without a gradient, and a scalar."""
    random = torch.Generator().manual_seed(0)

    def double(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=random, dtype=torch.float64)

    values = [double(3, 4), double(4, 3, 2, 2).contiguous(memory_format=torch.channels_last), double(5), double()]
    parameters = [nn.Parameter(value) for value in values]
    importance, centre = double(12 + 48 + 5 + 1), double(12 + 48 + 5 + 1)
    importance[:7] = 0
    theta = torch.cat([p.detach().flatten() for p in parameters]).requires_grad_()
    expected = 0.7 * (importance * (theta - centre) ** 2).sum()
    expected.backward()

    penalty = Quadratic(parameters, importance, centre, strength=0.7)
    torch.testing.assert_close(penalty.value(), expected.detach(), rtol=1e-12, atol=0)
    assert not penalty.value().requires_grad
    for parameter in (*parameters[:2], parameters[3]):
        parameter.grad = torch.full_like(parameter, 3.0)
    penalty.add_gradient()
    parameters[2].grad += 3
    found = torch.cat([p.grad.flatten() for p in parameters])
    torch.testing.assert_close(found, theta.grad + 3, rtol=1e-12, atol=1e-14)
