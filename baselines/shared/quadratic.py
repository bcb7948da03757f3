"""The quadratic penalty of methods that pull parameters back to where they were."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from methods.gradients import gradients_of, parts_like


class Quadratic:
    """strength * sum_i F_i (theta_i - m_i)^2.

    Its gradient, 2 strength F (theta - m), is known without autograd. It is added to the gradients after the backward
    pass, by a few operations on all parameters at once.

    Args:
        parameters: theta.
        importance: F [P], not negative if `value` is used, laid out as torch.nn.utils.parameters_to_vector does.
        centre: m [P].
        strength: the factor before the sum.
    """

    def __init__(self, parameters: Iterable[Tensor], importance: Tensor, centre: Tensor, strength: float):
        self.parameters: list[Tensor] = list(parameters)
        self.importance = parts_like(importance, self.parameters)
        self.centre = parts_like(centre, self.parameters)
        self.strength = strength

    @torch.no_grad()
    def value(self) -> Tensor:
        """The penalty, a scalar without a history."""
        terms = torch._foreach_sub(self.parameters, self.centre)
        torch._foreach_mul_(terms, terms)
        torch._foreach_mul_(terms, self.importance)
        # A norm of order 1 is the sum, because no term is negative.
        return self.strength * torch.stack(torch._foreach_norm(terms, 1)).sum()

    @torch.no_grad()
    def add_gradient(self) -> None:
        """Add the penalty's gradient to the gradients of the parameters."""
        pulls = torch._foreach_sub(self.parameters, self.centre)
        torch._foreach_mul_(pulls, self.importance)
        torch._foreach_add_(gradients_of(self.parameters), pulls, alpha=2 * self.strength)
