"""Piggyback."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from baselines.shared.masks import Mask, add_masks, masks_from_bits, masks_to_bits
from baselines.shared.per_task import PerTask
from baselines.shared.weights import weights_for
from methods import Network, Range, Recipe, methods

_START = 1e-2


class ThresholdMask(Mask):
    """Keeps the weights whose score is above a threshold.

    Args:
        scores: initial values, of the weight's shape.
        threshold: at least 0 and below 1.
    """

    def __init__(self, scores: Tensor, threshold: float):
        super().__init__(scores)
        self.threshold = threshold

    def step(self, relevance: Tensor) -> Tensor:
        return torch.gt(relevance, self.threshold, out=torch.empty_like(relevance))


@methods.register("piggyback")
class Piggyback(PerTask):
    """Piggyback (Mallya et al., 2018, arXiv 1801.06519).

    y = layer(x, W * m_t), m_t = 1 where s_t > threshold, else 0, for every convolution and linear layer, those of
    attention included. W is the backbone's and never trained; the gradient of m_t is used as that of s_t. All scores
    start at 0.01, so a task starts with the backbone as it is. It costs one bit a weight beside its batch
    normalisation.

    Args:
        threshold: must be below the start of the scores.
        bn: batch normalisation "per-task" (4 * C values) or "frozen" as the backbone's.

    Differs from the paper:
        lr: .001 here, 1e-4 there, in thirty epochs, for masks and head. A step of Adam moves a score by about lr, and
            all scores start .005 from the threshold: in eight short epochs 1e-4 closes almost none.
        schedule: cosine here; there x0.1 after half of the epochs.
        bn: "per-task" here; the authors' code keeps the backbone's (`bn=frozen`).
    """

    any_layout = True
    own = (Mask,)
    # A step of Adam moves a score by about lr, and all of them start 0.005 from the threshold.
    recipe = Recipe(optimizer="adam", lr=0.001)
    search = {"lr": Range(1e-4, 1e-2)}

    def __init__(self, threshold: float = 5e-3, bn: Literal["per-task", "frozen"] = "per-task"):
        super().__init__(bn)
        if not 0 <= threshold < _START:
            raise ValueError(f"threshold={threshold:g} must be at least 0 and below {_START:g}, where the scores start")
        self.threshold = threshold

    def adapt(self, network: Network) -> None:
        weights = weights_for(network, "piggyback")
        add_masks(network, weights, lambda weight: ThresholdMask(torch.full_like(weight, _START), self.threshold))

    def switch_task(self, network: Network) -> None:
        """Nothing: `restored` has the scores of every weight."""

    def stored(self, network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return masks_to_bits(network, tensors)

    def restored(self, network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return masks_from_bits(network, tensors)
