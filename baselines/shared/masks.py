"""Binary masks over frozen convolution weights: trained through scores, stored as one bit a weight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from baselines.shared.bits import pack_bits, packable, unpack_bits
from baselines.shared.convolutions import convolutions
from methods import Network


class _StraightThrough(torch.autograd.Function):
    """weight * mask; the relevance gets the gradient of the mask."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, relevance: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(weight, mask)
        return weight.where(mask, 0.0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        weight, mask = ctx.saved_tensors
        of_weight, of_relevance, _ = ctx.needs_input_grad
        return gradient.where(mask, 0.0) if of_weight else None, gradient * weight if of_relevance else None, None


class Mask(nn.Module):
    """A parametrisation, weight -> weight * mask, where mask is a step function of the relevance of trained scores.

    The step has no useful gradient, so the relevance gets the gradient of the mask, as if both were equal
    (straight-through estimator: Bengio et al., 2013, arXiv 1308.3432).

    Args:
        scores: initial values, of the weight's shape.

    Attributes:
        fixed: the scores are the mask, 0 and 1, as they were stored. Then answers need no step function.
    """

    def __init__(self, scores: Tensor):
        super().__init__()
        self.scores = nn.Parameter(scores)
        self.fixed = False

    def relevance(self, scores: Tensor) -> Tensor:
        """The input of the step; differentiable in the scores."""
        return scores

    def step(self, relevance: Tensor) -> Tensor:
        """The mask, bool. If the scores are an earlier mask, 0 and 1, the result is that mask."""
        raise NotImplementedError

    def forward(self, weight: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            # A training step may follow, after which the scores are no mask.
            self.fixed = False
        if self.fixed:
            return weight * self.scores
        relevance = self.relevance(self.scores)
        masked: Tensor = _StraightThrough.apply(weight, relevance, self.step(relevance.detach()))
        return masked


def add_masks(network: Network, mask: Callable[[Tensor], Mask]) -> None:
    """Let every convolution see its weights through a mask: weight [C_out, ...] -> the parametrisation for it."""
    for conv in convolutions(network):
        register_parametrization(conv, "weight", mask(conv.weight.detach()))


def masks_to_bits(network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a part, with masks instead of scores, a bit a weight: see `Method.stored`."""
    masks = {
        name: pack_bits(mask.step(mask.relevance(tensors[name]))) for name, mask, _ in packable(network, tensors, Mask)
    }
    return tensors | masks


def masks_from_bits(network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `masks_to_bits`: the scores are the masks, 0 and 1."""
    scores = {}
    for name, mask, live in packable(network, tensors, Mask):
        scores[name] = unpack_bits(tensors[name], live.shape)
        mask.fixed = True
    return tensors | scores
