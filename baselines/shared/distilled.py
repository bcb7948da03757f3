"""Distillation on new images and exemplars together: what iCaRL, WA and BiC have in common."""

from __future__ import annotations

import copy
from typing import ClassVar

import torch
from torch import Tensor

from baselines.shared.exemplars import Exemplars
from baselines.shared.finetuning import FineTuning, OnePassBN
from baselines.shared.memory import DEFAULT_MEMORY
from methods import MemorySize, Network, Samples, Step
from methods.scenarios import Scenario


class Distilled(FineTuning):
    """Each epoch goes over the task's images and the exemplars; the network as the last task left it is the teacher.

    Args:
        memory: capacity, in images (500) or bytes (10MB).
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.
    """

    scenarios: ClassVar[tuple[Scenario, ...]] = ("class",)
    trains_old_heads = True

    def __init__(self, memory: MemorySize = DEFAULT_MEMORY, bn: OnePassBN = "shared"):
        super().__init__(bn)
        self.memory = memory
        self.past = Exemplars(self, memory)

    def training_data(self, data: Samples, network: Network) -> Samples:
        return self.past.joined(data)

    def before_training_exp(self, step: Step) -> None:
        if self.task > 1:
            self.teacher = copy.deepcopy(step.model).eval().requires_grad_(False)

    def old_logits(self, step: Step) -> Tensor:
        """The teacher's logits of the classes of earlier tasks: [B, old classes]."""
        with torch.no_grad():
            logits = self.teacher(step.images)
        return logits[:, : old_classes(step)]

    def after_training_exp(self, step: Step) -> None:
        self.past.renew(step)


class Softened(Distilled):
    """The loss of WA and BiC, which differ in what they do after a task.

    L = (1 - lambda) * CE + lambda * CE(softmax(z_old / T), softmax(z / T)), T = 2, lambda = old classes / all so far.
    """

    def before_backward(self, step: Step) -> None:
        if self.task > 1:
            old, temperature = old_classes(step), 2.0
            share = old / step.logits.shape[1]
            targets = (self.old_logits(step) / temperature).softmax(1)
            answers = (step.logits[:, :old] / temperature).log_softmax(1)
            step.loss = (1 - share) * step.loss - share * (targets * answers).sum(1).mean()


def old_classes(step: Step) -> int:
    """How many classes the earlier tasks have: their logits are the first ones."""
    return step.model.heads.tasks[-1].start
