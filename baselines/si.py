"""Synaptic intelligence."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from baselines.shared.finetuning import ALL_SCENARIOS, FineTuning
from baselines.shared.quadratic import Quadratic
from baselines.shared.vectors import lengthened, vector_of
from methods import BNPolicy, Range, Step, methods
from methods.gradients import gradients_of
from methods.scenarios import Logits


@methods.register("si")
class SI(FineTuning):
    """Synaptic intelligence (Zenke et al., 2017, arXiv 1703.04200).

    L = CE + strength * sum_i Omega_i (theta_i - theta*_i)^2, theta the shared parameters, theta* where the last task
    left them. At the end of a task Omega_i = relu(Omega_i + omega_i / ((theta_i - theta*_i)^2 + damping)), where
    omega_i is the sum of -g_i dtheta_i over its steps; in a parameter's first task theta* is where it starts.

    g is the gradient of CE alone: the penalty's gradient is known without autograd, and is added after g was read.
    dtheta is the optimiser's real step, from the whole gradient, limited, with momentum. The loss shown is CE.

    Args:
        strength: the paper's c.
        damping: the paper's xi.
        relu: what is cut off at 0: the "sum" Omega_i after each task, as in the authors' code; the "increment" of each
            task; or "none" of them, as in the paper's formula and in Mammoth: a negative Omega_i pushes away from
            theta*_i.
        limit: the largest number in a step's whole gradient, in absolute value; larger ones are cut to it. 0 for no
            limit; Mammoth has 1.
        bn: batch normalisation "shared" by all tasks, "frozen" as the backbone's, or "per-task".
        logits: the logits in the loss with --scenario class: of all classes "seen" so far, of the "current" task's
            only, or of "all" classes of the stream.

    Differs from the paper:
        relu: the paper's formula cuts nothing off at 0 (`relu=none`); the authors' code cuts off the sum, as here.
        theta: the penalty leaves the heads out, which belong to one task each; the code penalises all parameters.
        optimizer: SGD with momentum, as for most methods that train the whole network; the paper has Adam at 0.001.
        limit: Mammoth cuts each number of a step's gradient at 1 (`limit=1`); the authors' code and this do not.
        batch normalisation: the penalty does not protect its statistics, which later tasks overwrite; `bn=frozen` and
            `bn=per-task` prevent it. The paper says nothing about it.
    """

    any_layout = True
    scenarios = ALL_SCENARIOS
    search = {**FineTuning.search, "strength": Range(0.01, 10.0)}

    def __init__(
        self,
        strength: float = 0.1,
        damping: float = 1e-3,
        relu: Literal["sum", "increment", "none"] = "sum",
        limit: float = 0.0,
        bn: BNPolicy = "shared",
        logits: Logits = "seen",
    ):
        super().__init__(bn, logits)
        if strength < 0:
            raise ValueError(f"strength={strength:g} must not be negative")
        if damping <= 0:
            raise ValueError(f"damping={damping:g} must be above 0")
        if limit < 0:
            raise ValueError(f"limit={limit:g} must not be negative")
        self.strength = strength
        self.damping = damping
        self.relu = relu
        self.limit = limit

    @torch.no_grad()
    def before_training_exp(self, step: Step) -> None:
        self.shared: list[Tensor] = list(step.shared_parameters().values())
        start = self.theta()
        self.anchor = lengthened(self.kept.get("anchor", start), start)
        self.importance = lengthened(self.kept.get("importance", start[:0]), torch.zeros_like(start))
        self.penalty = Quadratic(self.shared, self.importance, self.anchor, self.strength)
        # omega, and theta and g before the optimiser's step, each of them a tensor per parameter.
        self.omega, self.before, self.gradient = ([torch.zeros_like(p) for p in self.shared] for _ in range(3))

    def theta(self) -> Tensor:
        """A copy of the shared parameters, [P]."""
        return vector_of(self.shared)

    @torch.no_grad()
    def after_backward(self, step: Step) -> None:
        torch._foreach_copy_(self.before, self.shared)
        torch._foreach_copy_(self.gradient, gradients_of(self.shared))
        self.penalty.add_gradient()
        if self.limit:
            whole = gradients_of(step.trained)
            torch._foreach_clamp_min_(whole, -self.limit)
            torch._foreach_clamp_max_(whole, self.limit)

    @torch.no_grad()
    def after_update(self, step: Step) -> None:
        moved = torch._foreach_sub(self.shared, self.before)
        torch._foreach_addcmul_(self.omega, self.gradient, moved, value=-1)

    @torch.no_grad()
    def after_training_exp(self, step: Step) -> None:
        theta = self.theta()
        moved = (theta - self.anchor).square()
        increment = vector_of(self.omega) / (moved + self.damping)
        total = self.importance + (increment.relu() if self.relu == "increment" else increment)
        self.kept["importance"] = total.relu() if self.relu == "sum" else total
        self.kept["anchor"] = theta
