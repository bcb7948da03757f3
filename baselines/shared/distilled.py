"""Distillation on new images and exemplars together: what iCaRL, WA and BiC have in common."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from baselines.shared.exemplars import Exemplars
from baselines.shared.finetuning import FineTuning
from baselines.shared.memory import DEFAULT_MEMORY
from methods import BNPolicy, MemorySize, Network, Samples, Step
from methods.scenarios import Scenario


class Distilled(FineTuning):
    """Each epoch goes over the task's images and the exemplars; the network as the last task left it is the teacher.

    Args:
        memory: capacity, in images (500) or bytes (10MB).
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.
    """

    scenarios: tuple[Scenario, ...] = ("class",)
    trains_old_heads = True

    def __init__(self, memory: MemorySize = DEFAULT_MEMORY, bn: BNPolicy = "shared"):
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
        return logits[:, : step.model.heads.old]

    def after_training_exp(self, step: Step) -> None:
        self.past.renew(step)


def softened(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """The mean over the batch of CE(softmax(teacher / T), softmax(student / T)); logits [B, classes] of both."""
    targets = (teacher / temperature).softmax(1)
    return -(targets * (student / temperature).log_softmax(1)).sum(1).mean()
