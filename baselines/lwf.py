"""Learning without forgetting."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from baselines.shared.finetuning import FineTuning
from methods import BNPolicy, Range, Step, methods


@methods.register("lwf")
class LwF(FineTuning):
    """Learning without forgetting (Li and Hoiem, 2016, arXiv 1606.09282).

    L = CE + strength * sum over old heads of CE(softmax(z_old / T), softmax(z / T)), the mean over the batch. z_old are
    the old heads' logits on the new task's images, from the network as the last task left it, in evaluation mode.
    Teacher and student each pass through the backbone once per batch, for any number of heads.

    Args:
        strength: the paper's lambda.
        temperature: the paper's T.
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.
    """

    trains_old_heads = True
    search = {**FineTuning.search, "strength": Range(0.1, 10.0)}

    def __init__(self, strength: float = 1.0, temperature: float = 2.0, bn: BNPolicy = "shared"):
        super().__init__(bn)
        if strength < 0:
            raise ValueError(f"strength={strength:g} must not be negative")
        if temperature <= 0:
            raise ValueError(f"temperature={temperature:g} must be above 0")
        self.strength = strength
        self.temperature = temperature

    def before_training_exp(self, step: Step) -> None:
        if self.task > 1:
            self.teacher = copy.deepcopy(step.model).eval().requires_grad_(False)

    def forward(self, step: Step) -> Tensor:
        self.features = step.model.features(step.images)
        return step.model.answer(self.features)

    def before_backward(self, step: Step) -> None:
        if self.task > 1:
            # The last head is the new task's.
            with torch.no_grad():
                old = self.teacher.heads.every(self.teacher.features(step.images))[:, :-1]
            new = step.model.heads.every(self.features)[:, :-1]
            targets = (old / self.temperature).softmax(-1)
            log_answers = (new / self.temperature).log_softmax(-1)
            # For a narrower head, 0 * -inf would not be a number.
            cross_entropies = -(targets * log_answers.masked_fill(new.isneginf(), 0)).sum(-1)
            step.loss += self.strength * cross_entropies.sum(1).mean()
