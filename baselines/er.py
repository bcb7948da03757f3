"""Experience replay."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn.functional import cross_entropy

from baselines.shared.finetuning import ALL_SCENARIOS, FineTuning, OnePassBN
from baselines.shared.memory import DEFAULT_MEMORY, Fill, Memory
from methods import MemorySize, Step, methods
from methods.scenarios import Logits


@methods.register("er")
class ER(FineTuning):
    """Experience replay (Chaudhry et al., 2019, arXiv 1902.10486).

    L = the mean of CE over the batch and a replay batch together, each replayed image through its own task's head; both
    pass through the network together, so that batch normalisation sees both at once. The memory is a uniform sample of
    all images that were offered to it (reservoir sampling), as they were before --augment changed them. Replay batches
    are drawn with replacement.

    Args:
        memory: capacity, in images (500) or bytes (10MB).
        loss: "mean": one mean over the images of both batches, as the authors'; "sum": CE(batch) + CE(replay batch),
            which is twice that where both have the same size.
        replay_batch: images of a replay batch; None for as many as the batch has.
        fill: images enter the memory "after" their task, so that past tasks alone are replayed; or "during" it, as in
            Mammoth: each image in the step that trained on it.
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.
        logits: the logits in the loss with --scenario class: of all classes "seen" so far, of the "current" task's only
            (replayed images have all seen ones), or of "all" classes of the stream.

    Differs from the paper:
        memory: filled at the end of a task, so that it has images of past tasks only, and the first task replays
            nothing. In the paper images enter as they come (`fill=during`).
        draws: with replacement; the authors' code draws the images of a replay batch without.
    """

    any_layout = True
    scenarios = ALL_SCENARIOS
    trains_old_heads = True

    def __init__(
        self,
        memory: MemorySize = DEFAULT_MEMORY,
        loss: Literal["mean", "sum"] = "mean",
        replay_batch: int | None = None,
        fill: Fill = "after",
        bn: OnePassBN = "shared",
        logits: Logits = "seen",
    ):
        super().__init__(bn, logits)
        self.memory = memory
        self.loss = loss
        self.replay_batch = replay_batch
        self.fill = fill
        self.past = Memory(self, memory, batch=replay_batch, fill=fill)

    def before_training_exp(self, step: Step) -> None:
        # Without values, one step stands for all of a task. So the task's images enter here, and the step replays.
        if self.fill == "during" and step.task_data.images.is_meta:
            self.past.add(step.task_data, step.device)

    def forward(self, step: Step) -> Tensor:
        self.replays = self.past.holds_samples
        if not self.replays:
            return super().forward(step)
        self.replayed = self.past.draw(step, self.past.batch_of(step))
        logits, self.answers = self.past.answer_with(step, self.replayed)
        return logits

    def before_backward(self, step: Step) -> None:
        if self.replays:
            step.loss = self.with_replay(step.loss, len(step.labels))
        if self.fill == "during":
            self.past.add_minibatch(step)

    def with_replay(self, loss: Tensor, count: int) -> Tensor:
        """The loss over `count` images and the replay batch, from the mean over those images."""
        labels = self.replayed["labels"]
        replayed = cross_entropy(self.answers, labels)
        if self.loss == "sum":
            return loss + replayed
        # Two means, weighted by their numbers of images, are the mean over both.
        return loss.lerp(replayed, len(labels) / (count + len(labels)))

    def after_training_exp(self, step: Step) -> None:
        if self.fill == "after":
            self.past.add(step.task_data, step.device)
