"""Elastic weight consolidation."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from baselines.shared.finetuning import ALL_SCENARIOS, FineTuning
from baselines.shared.fisher import FisherKind, shared_vector, task_fisher
from baselines.shared.quadratic import Quadratic
from baselines.shared.vectors import lengthened
from methods import BNPolicy, Range, Step, methods
from methods.scenarios import Logits


@methods.register("ewc")
class EWC(FineTuning):
    """Elastic weight consolidation (Kirkpatrick et al., 2017, arXiv 1612.00796).

    L = CE + strength/2 * sum_t sum_i F_t,i (theta_i - theta*_t,i)^2 over the tasks t learned so far, theta the shared
    parameters. The sum over the tasks is one parabola, so that a step costs the same in any task. Its gradient is known
    without autograd, and is added after the backward pass. The paper does not say for which labels and on how many
    images the Fisher information is estimated: see `fisher` and `samples`. Each image's gradient is squared for itself.

    Args:
        strength: the paper's lambda.
        fisher: the labels of the Fisher information: "exact": all classes, weighted by the model's probabilities;
            "sampled": one per image, drawn from the model; "empirical": the given ones; "weighted": the given
            ones, each weighted by the model's probability of it, as Mammoth's.
        samples: the most images of a task that it is estimated on.
        storage: "per-task": F_t and theta*_t of each task, 2P values a task, as published; "summed": two sums that give
            the same penalty, 2P values for any number of tasks.
        bn: batch normalisation "shared" by all tasks, "frozen" as the backbone's, or "per-task".
        logits: the logits in the loss with --scenario class: of all classes "seen" so far, of the "current" task's
            only, or of "all" classes of the stream.

    Differs from the paper:
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
        fisher: FisherKind = "sampled",
        samples: int = 200,
        storage: Literal["per-task", "summed"] = "per-task",
        bn: BNPolicy = "shared",
        logits: Logits = "seen",
    ):
        super().__init__(bn, logits)
        if strength < 0:
            raise ValueError(f"strength={strength:g} must not be negative")
        if samples < 1:
            raise ValueError(f"samples={samples} must be at least 1")
        self.strength = strength
        self.fisher = fisher
        self.samples = samples
        self.storage = storage

    def before_training_exp(self, step: Step) -> None:
        self.quadratic = self.sum_of_penalties(shared_vector(step))
        if self.quadratic is not None:
            # The rest does not depend on theta: it has no gradient, and only the loss that is shown needs it.
            fisher, mean, self.rest = self.quadratic
            self.penalty = Quadratic(step.shared_parameters().values(), fisher, mean, self.strength / 2)

    def sum_of_penalties(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
        """F, m, r with sum_t F_t (theta - theta*_t)^2 = F (theta - m)^2 + r, so a step costs the same in any task.

        Parameters that are newer than a task have no Fisher information of it.
        """
        total: tuple[Tensor, Tensor, Tensor] | None = None
        for name in self.kept:
            if not name.startswith("fisher"):
                continue
            suffix = name.removeprefix("fisher")
            fisher = lengthened(self.kept[name], torch.zeros_like(theta))
            anchor = lengthened(self.kept["anchor" + suffix], theta)
            rest = self.kept.get("rest" + suffix, fisher.new_zeros(()))
            total = (fisher, anchor, rest) if total is None else _add(total, (fisher, anchor, rest))
        return total

    def before_backward(self, step: Step) -> None:
        if self.quadratic is not None:
            step.loss += self.penalty.value() + self.strength / 2 * self.rest

    def after_backward(self, step: Step) -> None:
        if self.quadratic is not None:
            self.penalty.add_gradient()

    def estimate_fisher(self, step: Step) -> Tensor:
        return task_fisher(step, self.fisher, self.samples, self.generator)

    def after_training_exp(self, step: Step) -> None:
        # The anchor first: the estimate may replace the tensors of a layer that has two names by equal ones, and then
        # they are no longer among the shared parameters.
        anchor, fisher = shared_vector(step), self.estimate_fisher(step)
        if self.storage == "per-task":
            self.kept |= {f"fisher.{self.task}": fisher, f"anchor.{self.task}": anchor}
            return
        one = (fisher, anchor, fisher.new_zeros(()))
        total = one if self.quadratic is None else _add(self.quadratic, one)
        self.kept |= dict(zip(("fisher", "anchor", "rest"), total, strict=True))


def _add(a: tuple[Tensor, Tensor, Tensor], b: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """The sum of two parabolas F (theta - m)^2 + r, in the same form, without cancellation."""
    (f, m, r), (g, n, s) = a, b
    share = torch.where(f + g > 0, g / (f + g), torch.zeros_like(f))
    return f + g, m + share * (n - m), r + s + (f * share * (n - m).square()).sum()
