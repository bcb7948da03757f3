"""Elastic weight consolidation in constant storage."""

from __future__ import annotations

import torch
from torch import Tensor

from baselines.shared.finetuning import ALL_SCENARIOS, FineTuning
from baselines.shared.fisher import FisherKind, shared_vector, task_fisher
from baselines.shared.quadratic import Quadratic
from baselines.shared.vectors import lengthened
from methods import BNPolicy, Range, Step, methods
from methods.scenarios import Logits


@methods.register("online-ewc")
class OnlineEWC(FineTuning):
    """EWC with one running Fisher and the latest anchor (Schwarz et al., 2018, arXiv 1805.06370).

    F~_t = decay * F~_(t-1) + F_t;  L = CE + strength/2 * decay * sum_i F~_i (theta_i - theta*_i)^2.

    theta are the shared parameters. The penalty's gradient is known without autograd, and is added after the backward
    pass.

    Args:
        strength: the paper's lambda.
        decay: the paper's gamma, 0 to 1: how much the Fisher information of earlier tasks counts.
        fisher: the labels of the Fisher information: "exact": all classes, weighted by the model's probabilities;
            "sampled": one per image, drawn from the model; "empirical": the given ones; "weighted": the given
            ones, each weighted by the model's probability of it, as Mammoth's.
        samples: the most images of a task that it is estimated on.
        bn: batch normalisation "shared" by all tasks, "frozen" as the backbone's, or "per-task".
        logits: the logits in the loss with --scenario class: of all classes "seen" so far, of the "current" task's
            only, or of "all" classes of the stream.

    Differs from the paper:
        scale: the Fisher information of a task is used as it is. The paper normalises that of each task, so that all
            tasks count alike.
        knowledge base: the penalty holds a network that learns the tasks itself. In the paper it also holds one into
            which a second network, which learned the task, is distilled.
        limit: a step's whole gradient, that of the penalty included, is cut to length 1 (`clip=0` cuts nothing). The
            paper names no such limit.
        batch normalisation: the penalty does not protect its statistics, which later tasks overwrite; `bn=frozen` and
            `bn=per-task` prevent it. The paper says nothing about it.
    """

    any_layout = True
    scenarios = ALL_SCENARIOS
    search = {**FineTuning.search, "strength": Range(0.1, 100.0)}

    def __init__(
        self,
        strength: float = 1.0,
        decay: float = 0.9,
        fisher: FisherKind = "sampled",
        samples: int = 200,
        bn: BNPolicy = "shared",
        logits: Logits = "seen",
    ):
        super().__init__(bn, logits)
        if strength < 0:
            raise ValueError(f"strength={strength:g} must not be negative")
        if samples < 1:
            raise ValueError(f"samples={samples} must be at least 1")
        if not 0 <= decay <= 1:
            raise ValueError(f"decay={decay:g} must be between 0 and 1")
        self.strength = strength
        self.decay = decay
        self.fisher = fisher
        self.samples = samples

    def before_training_exp(self, step: Step) -> None:
        self.penalty: Quadratic | None = None
        if "fisher" in self.kept:
            strength = self.strength / 2 * self.decay
            theta = shared_vector(step)
            # Parameters that are new have no Fisher information yet.
            fisher = lengthened(self.kept["fisher"], torch.zeros_like(theta))
            anchor = lengthened(self.kept["anchor"], theta)
            self.penalty = Quadratic(step.shared_parameters().values(), fisher, anchor, strength)

    def before_backward(self, step: Step) -> None:
        if self.penalty:
            step.loss += self.penalty.value()

    def after_backward(self, step: Step) -> None:
        if self.penalty:
            self.penalty.add_gradient()

    def estimate_fisher(self, step: Step) -> Tensor:
        return task_fisher(step, self.fisher, self.samples, self.generator)

    def after_training_exp(self, step: Step) -> None:
        # The anchor first: the estimate may replace the tensors of a layer that has two names by equal ones, and then
        # they are no longer among the shared parameters.
        anchor, fisher = shared_vector(step), self.estimate_fisher(step)
        if "fisher" in self.kept:
            fisher += self.decay * lengthened(self.kept["fisher"], torch.zeros_like(fisher))
        self.kept |= {"fisher": fisher, "anchor": anchor}
