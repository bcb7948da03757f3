"""Binary masks over the frozen weights of layers: trained through scores, stored as one bit a weight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from baselines.shared.at_once import AtOnce
from baselines.shared.bits import pack_bits, packable, unpack_bits
from methods import Network


class _StraightThrough(torch.autograd.Function):
    """Masks as they are; the scores get the masks' gradients times the slopes of their relevance."""

    @staticmethod
    def forward(ctx: Any, kind: type[Mask], *masks_and_scores: Tensor) -> tuple[Tensor, ...]:
        half = len(masks_and_scores) // 2
        ctx.kind = kind
        ctx.save_for_backward(*masks_and_scores[half:])
        return masks_and_scores[:half]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        scores = ctx.saved_tensors
        return None, *[None] * len(scores), *ctx.kind.times_slopes(gradients, scores)


class Mask(nn.Module):
    """A parametrisation, weight -> weight * mask, where mask is a step function of the relevance of trained scores.

    The step has no useful gradient, so the relevance gets the gradient of the mask, as if both were equal
    (straight-through estimator: Bengio et al., 2013, arXiv 1308.3432).

    Args:
        scores: initial values, of the weight's shape.

    Attributes:
        fixed: the scores are the mask, 0 and 1, as they were stored. Then answers need no step function.
        mask: only during a pass through the backbone; see `add_masks`.
    """

    def __init__(self, scores: Tensor):
        super().__init__()
        self.scores = nn.Parameter(scores)
        self.fixed = False
        self.mask: Tensor | None = None

    def relevance(self, scores: Tensor) -> Tensor:
        """The input of the step."""
        return scores

    @staticmethod
    def times_slopes(gradients: Sequence[Tensor], scores: Sequence[Tensor]) -> Sequence[Tensor]:
        """The gradients of the relevances of many masks -> those of their scores."""
        return gradients

    def step(self, relevance: Tensor) -> Tensor:
        """The mask, 0 and 1 in the relevance's format. If the scores are an earlier mask, the result is that mask."""
        raise NotImplementedError

    def forward(self, weight: Tensor) -> Tensor:
        (mask,) = _masks([self]) if self.mask is None else (self.mask,)
        return weight * mask


def _masks(each: Sequence[Mask]) -> Sequence[Tensor]:
    """The mask of each module; all are of one class."""
    if torch.is_grad_enabled():
        # A training step may follow, after which the scores are no masks.
        for mask in each:
            mask.fixed = False
    scores: list[Tensor] = [mask.scores for mask in each]
    if all(mask.fixed for mask in each):
        return [score.detach() for score in scores]
    with torch.no_grad():
        stepped = [mask.step(mask.relevance(mask.scores)) for mask in each]
    masks: tuple[Tensor, ...] = _StraightThrough.apply(type(each[0]), *stepped, *scores)
    return masks


def add_masks(network: Network, weights: Iterable[tuple[nn.Module, str]], mask: Callable[[Tensor], Mask]) -> None:
    """Let layers see their weights through masks.

    All masks of a pass are made at once, so that the gradients of all scores come from a few kernels.

    Args:
        network: the network.
        weights: layers, and the names of their weights; see baselines.shared.weights.
        mask: weight [outputs, ...] -> the parametrisation for it.
    """
    each = []
    for layer, name in weights:
        each.append(mask(getattr(layer, name).detach()))
        register_parametrization(layer, name, each[-1])
    AtOnce(each, "mask", partial(_masks, each)).add(network.backbone)


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
