"""What the methods with a memory of past images have in common."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from baselines.all_heads import AllHeads
from baselines.reservoir import DEFAULT_MEMORY, MemorySize, append, draw, reservoir_step, samples_of
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

    def replay(self, strategy: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """As many stored samples as the minibatch has, drawn at random, and their logits, each from its own head."""
        network, samples = strategy.model, draw(self.kept, len(strategy.mb_y), self.generator)
        images = strategy.augment_replay(samples["images"].contiguous(memory_format=torch.channels_last))
        return network.heads.own(network.features(images), samples["tasks"].long()), samples

    def replay_loss(self, strategy: Any) -> Tensor:
        """The cross entropy of a replay batch of the minibatch's size."""
        logits, samples = self.replay(strategy)
        return cross_entropy(logits, samples["labels"].long())

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
