"""Experience replay with an asymmetric cross entropy."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from baselines.shared.finetuning import ALL_SCENARIOS, FineTuning, OnePassBN
from baselines.shared.memory import DEFAULT_MEMORY, Memory, Passes
from methods import MemorySize, Step, methods


@methods.register("er-ace")
class ERACE(FineTuning):
    """Experience replay with an asymmetric cross entropy (Caccia et al., 2022, arXiv 2104.05025).

    L = CE(batch, among the classes that occur in it) + CE(replay batch, among all classes so far), so that new images
    do not push down the logits of old classes. Where the task is known, each image has the classes of its own task
    only. The first task has no past: its loss is the plain cross entropy. The memory is a uniform sample of all images
    of the tasks so far (reservoir sampling). A task's images enter it before the task is learned: only among replayed
    images do new classes compete with old ones.

    Args:
        memory: capacity, in images (500) or bytes (10MB).
        replay_batch: images of a replay batch; None for as many as the batch has.
        passes: both batches pass through the network "joint", or "separate": one after the other, each with batch
            normalisation by itself, as in the authors' code.
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.

    Differs from the paper:
        passes: the authors' code passes each of the two batches by itself (`passes=separate`). Here they pass
            together, so that batch normalisation sees images of all tasks at once, as the running statistics do with
            which the network answers.
        loss: classes of tasks to come have no logits yet; in the authors' code they compete with the classes of the
            batch.
        memory: a task's images enter it before the task is learned; the authors' stream brings them one batch after
            the other.
        draws: with replacement; the authors' code draws the images of a replay batch without.
    """

    any_layout = True
    scenarios = ALL_SCENARIOS
    trains_old_heads = True

    def __init__(
        self,
        memory: MemorySize = DEFAULT_MEMORY,
        replay_batch: int | None = None,
        passes: Passes = "joint",
        bn: OnePassBN = "shared",
    ):
        super().__init__(bn)
        self.memory = memory
        self.replay_batch = replay_batch
        self.passes = passes
        self.past = Memory(self, memory, batch=replay_batch)

    def before_training_exp(self, step: Step) -> None:
        self.past.add(step.task_data, step.device)

    def forward(self, step: Step) -> Tensor:
        if self.task == 1:
            return super().forward(step)
        self.replayed = self.past.draw(step, self.past.batch_of(step))
        logits, self.answers = self.past.answer_with(step, self.replayed, self.passes)
        columns = torch.arange(logits.shape[1], device=logits.device)
        absent = (step.labels[:, None] != columns).all(0)
        return logits.masked_fill(absent, float("-inf"))

    def before_backward(self, step: Step) -> None:
        if self.task > 1:
            step.loss += cross_entropy(self.answers, self.replayed["labels"])
