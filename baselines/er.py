"""Experience replay."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import cross_entropy

from baselines.finetuning import FineTuning
from baselines.reservoir import MemorySize, Reservoir
from methods import methods
from methods.method import BNPolicy


@methods.register("er")
class ER(FineTuning):
    """Experience replay (Chaudhry et al., 2019, arXiv 1902.10486).

    L = CE(batch) + CE(replay batch of the same size), each replayed image through its own task's head. The memory is a
    uniform sample of all images of the tasks learned so far (reservoir sampling).

    Args:
        memory: capacity, in images (500) or bytes (10MB).
        bn: "shared" or "frozen", see FineTuning; a replay batch mixes tasks, so that they cannot be "per-task".
    """

    trains_old_heads = True

    def __init__(self, memory: MemorySize = MemorySize(images=500), bn: BNPolicy = "shared"):  # noqa: B008
        super().__init__(bn)
        if bn == "per-task":
            raise ValueError("bn=per-task cannot be used: a replay batch mixes tasks; use bn=shared or bn=frozen")
        self.memory = memory

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self.reservoir = Reservoir(self.kept, self.memory, self.generator)

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        if self.task > 1:
            images, labels, tasks = self.reservoir.draw(len(strategy.mb_y))
            network = strategy.model
            strategy.loss += cross_entropy(network.heads.own(network.features(images), tasks), labels)

    @torch.no_grad()
    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self.reservoir.offer(strategy.task_data, self.task)
