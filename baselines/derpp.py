"""Dark experience replay with labels."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from baselines.shared.finetuning import ALL_SCENARIOS, FineTuning, OnePassBN
from baselines.shared.memory import DEFAULT_MEMORY, Fill, Memory, Passes
from methods import MemorySize, Range, Step, methods
from methods.scenarios import Logits

_LOGITS = "replay.logits"


@methods.register("derpp")
class DERpp(FineTuning):
    """Dark experience replay++ (Buzzega et al., 2020, arXiv 2004.07211).

    L = CE(batch) + alpha * MSE(f(x'), z') + beta * CE(f(x''), y''), x' and x'' two independent replay batches, each
    image through its own task's head. The logits z' are those of the network in evaluation mode at the end of the task,
    when the image enters the memory. The MSE is the mean over the logits that the image had then, afterwards over the
    batch. The memory is a uniform sample of all images that were offered to it (reservoir sampling).

    Args:
        alpha, beta: weights of the stored logits and of the stored labels.
        memory: capacity, in images (500) or bytes (10MB); the logits count too.
        replay_batch: images of each replay batch; None for as many as the batch has.
        fill: images enter the memory "after" their task, so that past tasks alone are replayed; or "during" it, as in
            Mammoth: each image in the step that trained on it, with its logits there.
        passes: the three batches pass through the network "joint", or "separate": one after the other, each with batch
            normalisation by itself, as in Mammoth. Without batch normalisation the loss is the same.
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.
        logits: the logits in the loss with --scenario class: of all classes "seen" so far, of the "current" task's only
            (replayed images have all seen ones), or of "all" classes of the stream.

    Differs from the paper:
        passes: the authors' code (Mammoth) passes each of the three batches by itself (`passes=separate`). Here
            they pass together, so that batch normalisation sees images of all tasks at once, as the running statistics
            do with which the network answers. Operations are the same.
        memory: filled at the end of a task, with the logits of evaluation mode; the paper fills it in each step, with
            the logits of that step (`fill=during`).
        MSE: over the image's own head; the authors have one head for all tasks.
        draws: with replacement; Mammoth draws the images of a batch without.
        alpha, beta: .2 and 1.5, chosen on the embedded stream; the authors tune them for each data set and memory, from
            .1 to 1 and from .5 to 1.
    """

    any_layout = True
    scenarios = ALL_SCENARIOS
    recipe = replace(FineTuning.recipe, lr=0.054)
    trains_old_heads = True
    # Fewer and fewer of a task's images enter the memory, and only these get logits.
    grows_evenly = False
    search = {**FineTuning.search, "alpha": Range(0.05, 1.0), "beta": Range(0.1, 5.0)}

    def __init__(
        self,
        alpha: float = 0.2,
        beta: float = 1.5,
        memory: MemorySize = DEFAULT_MEMORY,
        replay_batch: int | None = None,
        fill: Fill = "after",
        passes: Passes = "joint",
        bn: OnePassBN = "shared",
        logits: Logits = "seen",
    ):
        super().__init__(bn, logits)
        for name, weight in (("alpha", alpha), ("beta", beta)):
            if weight < 0:
                raise ValueError(f"{name}={weight:g} must not be negative")
        self.alpha = alpha
        self.beta = beta
        self.memory = memory
        if fill == "during" and logits == "current":
            raise ValueError("fill=during stores the logits of the loss, so it needs logits=seen or logits=all")
        self.replay_batch = replay_batch
        self.fill = fill
        self.passes = passes
        self.past = Memory(self, memory, batch=replay_batch, fill=fill)

    def before_training_exp(self, step: Step) -> None:
        """Widen the logits of a sample to the widest head so far."""
        heads = step.model.heads
        self.width = heads.widest
        #: The logits that an image of each task had when it was stored.
        self.widths = heads.widths
        if self.past.holds_samples:
            self.kept[_LOGITS] = self.widened(self.kept[_LOGITS])
        # Without values, one step stands for all of a task. So the task's images enter here, and the step replays.
        if self.fill == "during" and step.task_data.images.is_meta:
            logits = torch.zeros(len(step.task_data), self.width, device=step.device)
            self.past.add(step.task_data, step.device, more_bytes=4 * self.width, beside={"logits": logits})

    def widened(self, logits: Tensor) -> Tensor:
        missing = self.width - logits.shape[1]
        return pad(logits, (0, missing)) if missing else logits

    def forward(self, step: Step) -> Tensor:
        self.replays = self.past.holds_samples
        if not self.replays:
            return super().forward(step)
        self.replayed = self.past.draw(step, 2 * self.past.batch_of(step))
        logits, self.answers = self.past.answer_with(step, self.replayed, self.passes, batches=2)
        return logits

    def before_backward(self, step: Step) -> None:
        if self.replays:
            first, second = self.answers.chunk(2)
            count = len(first)
            widths = self.widths[self.replayed["tasks"][:count] - 1]
            # Both are 0 beyond the logits that the image had.
            missing = torch.arange(self.width, device=first.device) >= widths[:, None]
            squares = (first.masked_fill(missing, 0) - self.replayed["logits"][:count]).square()
            mse = (squares.sum(1) / widths).mean()
            cross_entropies = cross_entropy(second, self.replayed["labels"][count:])
            step.loss += self.alpha * mse + self.beta * cross_entropies
        if self.fill == "during":
            logits = self.widened(step.logits.detach().float())
            self.past.add_minibatch(step, more_bytes=4 * self.width, logits=logits)

    def after_training_exp(self, step: Step) -> None:
        if self.fill == "during":
            return
        network = step.model.eval()

        def logits(images: Tensor) -> dict[str, Tensor]:
            parts = map(network.features, images.split(step.batch_size))
            answers = torch.cat([network.heads.whole(features, network.head_key) for features in parts])
            return {"logits": self.widened(answers.float())}

        self.past.add(step.task_data, step.device, logits, more_bytes=4 * self.width)
        network.train()
