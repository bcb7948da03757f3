"""What the methods with a memory of past images have in common."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from baselines.shared.all_heads import AllHeads
from baselines.shared.reservoir import DEFAULT_MEMORY, append, draw, reservoir_step, samples_of
from methods.memory import MemorySize
from methods.method import REPLAY, BNPolicy


class Replay(AllHeads):
    """Fine-tuning with a uniform sample of the images of all tasks learned so far (reservoir sampling).

    Args:
        memory: its capacity, in images (500) or bytes (10MB).
        bn: see AllHeads.
    """

    def __init__(self, memory: MemorySize = DEFAULT_MEMORY, bn: BNPolicy = "shared"):
        super().__init__(bn)
        self.memory = memory

    def draw(self, strategy: Any, count: int) -> dict[str, Tensor]:
        """`count` stored samples at random: images, augmented as the task's are, labels and tasks as int64, others."""
        samples = draw(self.kept, count, self.generator)
        labels, tasks = samples["labels"].long(), samples["tasks"].long()
        return samples | {"images": strategy.augment_replay(samples["images"]), "labels": labels, "tasks": tasks}

    @torch.no_grad()
    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        seen, held = int(self.kept.get("seen", 0)), len(self.kept.get(REPLAY + "labels", ()))
        count, capacity = len(strategy.task_data), self.memory.capacity(self.sample_bytes(strategy))
        stay, enter = reservoir_step(seen, held, count, capacity, self.generator)
        append(self.kept, self.samples(strategy, enter), stay)
        self.kept["seen"] = torch.tensor(seen + count)

    def sample_bytes(self, strategy: Any) -> int:
        """The size of one stored sample: its pixels, and two bytes each for label and task number."""
        return strategy.task_data.images[0].nbytes + 4

    def samples(self, strategy: Any, chosen: Tensor) -> dict[str, Tensor]:
        """What is stored of the task's images of the indices `chosen`."""
        data = strategy.task_data
        images, labels = (part[chosen].to(strategy.device) for part in (data.images, data.labels))
        return samples_of(self.task, images, labels)


class JointReplay(Replay):
    """Replay batches that pass through the network together with the minibatch: one pass, one set of statistics.

    From the second task on, `replayed` are the samples drawn for the step, and `answers` their logits [samples, widest
    head], each from its own task's head and -inf beyond its classes.

    Attributes:
        batches: how many replay batches of the minibatch's size there are.
    """

    batches: ClassVar[int] = 1

    def forward(self, strategy: Any) -> Tensor:
        if self.task == 1:
            return super().forward(strategy)
        network, images, count = strategy.model, strategy.mb_x, len(strategy.mb_y)
        self.replayed = self.draw(strategy, self.batches * count)
        both = torch.cat([images, self.replayed["images"]]).contiguous(memory_format=torch.channels_last)
        tasks = torch.cat([torch.full_like(strategy.mb_y, self.task), self.replayed["tasks"]])
        logits = network.heads.own(network.features(both), tasks)
        self.answers = logits[count:]
        return logits[:count, : network.classes]
