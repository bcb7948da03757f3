"""Learning without forgetting."""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from baselines.shared.finetuning import ALL_SCENARIOS, FineTuning, OnePassBN
from methods import Range, Step, methods
from methods.scenarios import Logits


@methods.register("lwf")
class LwF(FineTuning):
    """Learning without forgetting (Li and Hoiem, 2016, arXiv 1606.09282).

    L = CE + strength * sum over old heads of CE(softmax(z_old / T), softmax(z / T)), the mean over the batch. z_old are
    the old heads' logits on the new task's images, from the network as the last task left it, in evaluation mode.
    Teacher and student each pass through the backbone once per batch, for any number of heads.

    With `warmup`, the new head is first trained alone, from the second task on: CE over its classes on the features of
    the backbone as the last task left it, in evaluation mode, by plain SGD of the recipe's initial learning rate.

    Args:
        strength: the paper's lambda.
        temperature: the paper's T.
        warmup: epochs in which the new head is trained alone; the paper does so until it converges, Mammoth for as many
            epochs as the task has. With --scenario domain that is the head of all tasks.
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.
        logits: the logits in the loss with --scenario class: of all classes "seen" so far, of the "current" task's
            only, or of "all" classes of the stream.

    Differs from the paper:
        warm-up: there is none, so that the new head learns together with the network from the first step on. The paper
            first trains it alone, as `warmup=` does.
        teacher: it answers in each step, for the images as that step has them, augmented or not. The paper computes its
            answers once, before the task.
    """

    any_layout = True
    scenarios = ALL_SCENARIOS
    trains_old_heads = True
    search = {**FineTuning.search, "strength": Range(0.1, 10.0)}

    def __init__(
        self,
        strength: float = 1.0,
        temperature: float = 2.0,
        warmup: int = 0,
        bn: OnePassBN = "shared",
        logits: Logits = "current",
    ):
        super().__init__(bn, logits)
        if strength < 0:
            raise ValueError(f"strength={strength:g} must not be negative")
        if temperature <= 0:
            raise ValueError(f"temperature={temperature:g} must be above 0")
        if warmup < 0:
            raise ValueError(f"warmup={warmup} must not be negative")
        self.strength = strength
        self.temperature = temperature
        self.warmup = warmup

    def before_training_exp(self, step: Step) -> None:
        if self.task > 1:
            self.teacher = copy.deepcopy(step.model).eval().requires_grad_(False)
            heads = step.model.heads
            #: The units that the penalty leaves out, [groups, widest]: those that a narrower group does not have, and
            #: all of the last group, which is the new task's. Groups are heads, or the old and the new classes.
            self.left_out = heads.layout == heads.units
            self.left_out[-1] = True
            if self.warmup:
                self.warm_up(step)

    def warm_up(self, step: Step) -> None:
        """Train the units of the new task alone. Those of other classes get no gradient, and stay as they are."""
        network, data, heads = step.model.eval(), step.task_data, step.model.heads
        with torch.no_grad():
            parts = [network.features(images.to(step.device)) for images in data.images.split(step.batch_size)]
        features, labels = torch.cat(parts), data.labels.to(step.device)
        # Among the task's own classes, where labels are columns of the logits of all tasks.
        labels = heads.columns(labels, torch.full_like(labels, self.task)) - heads.layout[-1, 0]
        optimizer = torch.optim.SGD(heads.parameters(), lr=step.optimizer.defaults["lr"])
        for _ in range(self.warmup):
            for chosen in torch.randperm(len(data), generator=self.generator).split(step.batch_size):
                chosen = chosen.to(step.device)
                optimizer.zero_grad()
                cross_entropy(heads.every(features[chosen])[:, -1], labels[chosen]).backward()
                optimizer.step()
        network.train()

    def forward(self, step: Step) -> Tensor:
        self.features = step.model.features(step.images)
        return step.model.answer(self.features)

    def before_backward(self, step: Step) -> None:
        if self.task > 1:
            with torch.no_grad():
                old = self.teacher.heads.every(self.teacher.features(step.images))
                targets = (old / self.temperature).softmax(-1)
            new = step.model.heads.every(self.features)
            # For a missing unit, 0 * -inf would not be a number.
            log_answers = (new / self.temperature).log_softmax(-1).masked_fill(self.left_out, 0)
            total = targets.flatten().dot(log_answers.flatten())
            step.loss = step.loss.sub(total, alpha=self.strength / len(step.labels))
