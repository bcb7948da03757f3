"""Elastic weight consolidation in constant memory."""

from __future__ import annotations

from typing import Any

from baselines.ewc import Consolidation
from baselines.shared.fisher import FisherKind
from methods import methods
from methods.method import BNPolicy


@methods.register("online-ewc")
class OnlineEWC(Consolidation):
    """EWC with one running Fisher and the latest anchor (Schwarz et al., 2018, arXiv 1805.06370).

    F~_t = decay * F~_(t-1) + F_t;  L = CE + strength/2 * decay * sum_i F~_i (theta_i - theta*_i)^2.

    Args:
        strength: the paper's lambda.
        decay: the paper's gamma, 0 to 1: how much the Fisher information of earlier tasks counts.
        fisher: over which labels the Fisher information is taken: "exact": all classes, weighted by the model's
            probabilities; "sampled": one per image, drawn from the model; "empirical": the given ones.
        samples: images of a task on which it is estimated, at most.
        bn: batch normalisation "shared" by all tasks, "frozen" as the backbone's, or "per-task".
    """

    def __init__(
        self,
        strength: float = 1.0,
        decay: float = 0.9,
        fisher: FisherKind = "sampled",
        samples: int = 200,
        bn: BNPolicy = "shared",
    ):
        super().__init__(strength, fisher, samples, bn)
        if not 0 <= decay <= 1:
            raise ValueError(f"decay={decay:g} must be between 0 and 1")
        self.decay = decay

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        if "fisher" in self.kept:
            distance = (self.theta(strategy) - self.kept["anchor"]).square()
            strategy.loss += self.strength / 2 * self.decay * (self.kept["fisher"] * distance).sum()

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        # In this order: the estimate may leave a layer that has two names with other tensors of the same values.
        anchor, fisher = self.theta(strategy).detach(), self.estimate_fisher(strategy)
        if "fisher" in self.kept:
            fisher += self.decay * self.kept["fisher"]
        self.kept |= {"fisher": fisher, "anchor": anchor}
