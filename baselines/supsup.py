"""Supermasks in superposition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from baselines.shared.kth import kth_smallest
from baselines.shared.masks import Mask, add_masks, masks_from_bits, masks_to_bits
from baselines.shared.per_task import PerTask
from baselines.shared.weights import plain_weights, weights_for, weights_of
from methods import BatchNorm, Network, Part, Range, Recipe, methods


class TopMask(Mask):
    """Keeps the weights with the largest |score|.

    Args:
        scores: initial values, of the weight's shape.
        share: the share of the weights that are kept, at least one weight; more if scores are equal.
    """

    def __init__(self, scores: Tensor, share: float):
        super().__init__(scores)
        self.kept = max(1, round(share * scores.numel()))

    def relevance(self, scores: Tensor) -> Tensor:
        return scores.abs()

    @staticmethod
    def times_slopes(gradients: Sequence[Tensor], scores: Sequence[Tensor]) -> Sequence[Tensor]:
        return torch._foreach_mul(list(gradients), torch._foreach_sign(list(scores)))

    def step(self, relevance: Tensor) -> Tensor:
        cutoff = kth_smallest(relevance, relevance.numel() - self.kept + 1)
        return torch.ge(relevance, cutoff, out=torch.empty_like(relevance))


@methods.register("supsup")
class SupSup(PerTask):
    """Supermasks in superposition, task given (Wortsman et al., 2020, arXiv 2006.14769).

    y = layer(x, W * m_t) for every convolution and linear layer, those of attention included. W is random, never
    trained and the same for all tasks: +-sqrt(2 / fan_in), without biases. m_t keeps the weights with the largest |s_t|
    of each layer; the gradient of m_t is used as that of |s_t|, and s_t starts from Kaiming's uniform distribution with
    a = sqrt(5). Each task has its own statistics of batch normalisation, but no trained affine parameters: a task costs
    one bit a weight and 2C values. A transformer's class token and positions stay as the backbone's.

    Args:
        sparsity: the share of the weights that a mask keeps.
        init: "signed-constant": W as above, drawn from the seed, so the backbone's layers and normalisations are
            replaced; "pretrained": they stay as they are.

    Differs from the paper:
        lr: .003 here, .001 there: eight short epochs instead of 100 to 250.
        head: a linear layer per task, trained; in the authors' code it is a layer of fixed random weights with a mask,
            like the others.
        sparsity: the same share of each layer; the authors' code keeps k (C_out + C_in) weights of a convolution, at
            most half of them, and tries k from 1 to 32.
        init: `init=pretrained` and the masks of attention are this project's own.
    """

    any_layout = True
    own = (Mask,)
    # A step of Adam moves a score by about lr. Scores start between +-1/sqrt(fan_in), which may be as little as .03.
    recipe = Recipe(optimizer="adam", lr=0.003)
    search = {"lr": Range(3e-4, 3e-2), "sparsity": (0.3, 0.5, 0.7)}

    def __init__(self, sparsity: float = 0.5, init: Literal["signed-constant", "pretrained"] = "signed-constant"):
        super().__init__()
        if not 0 < sparsity <= 1:
            raise ValueError(f"sparsity={sparsity:g} must be above 0 and at most 1: it is the share that is kept")
        self.sparsity = sparsity
        self.init = init

    def adapt(self, network: Network) -> None:
        if self.init == "signed-constant":
            plain_weights(network, "supsup")
            for module in network.modules():
                _start_over(module)
        add_masks(network, weights_for(network, "supsup"), self.mask)

    def mask(self, weight: Tensor) -> Mask:
        scores = torch.empty(weight.shape, device="cpu")
        nn.init.kaiming_uniform_(scores, a=math.sqrt(5), generator=self.generator)
        return TopMask(scores.to(weight), self.sparsity)

    def part(self, module: nn.Module, name: str) -> Part:
        if isinstance(module, BatchNorm):
            return "task" if name.endswith(("running_mean", "running_var")) else "frozen"
        return super().part(module, name)

    def switch_task(self, network: Network) -> None:
        """Nothing: `restored` has all scores that `adapt` draws."""

    def stored(self, network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return masks_to_bits(network, tensors)

    def restored(self, network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return masks_from_bits(network, tensors)


@torch.no_grad()
def _start_over(module: nn.Module) -> None:
    """Signed constants for a layer's weights, no bias; a normalisation as if it were new."""
    constants = {"bias": 0.0}
    if isinstance(module, BatchNorm | nn.LayerNorm | nn.GroupNorm):
        constants |= {"weight": 1.0, "running_mean": 0.0, "running_var": 1.0}
    elif own := weights_of(module):
        for name in own:
            weight = getattr(module, name)
            signs = torch.randint(2, weight.shape, device="cpu") * 2 - 1
            weight.copy_(signs).mul_(math.sqrt(2 / weight[0].numel()))
        constants["in_proj_bias"] = 0.0
    else:
        return
    for name, value in constants.items():
        tensor = getattr(module, name, None)
        if tensor is not None:
            tensor.fill_(value)
