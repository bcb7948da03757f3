"""Averaged gradient episodic memory."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from baselines.shared.finetuning import ALL_SCENARIOS, FineTuning, OnePassBN
from baselines.shared.memory import DEFAULT_MEMORY, Memory
from baselines.shared.vectors import values_in_memory
from methods import MemorySize, Step, methods
from methods.gradients import gradients_of
from methods.scenarios import Logits


@methods.register("agem")
class AGEM(FineTuning):
    """A-GEM (Chaudhry et al., 2019, arXiv 1812.00420): a step must not raise the loss on stored images.

    g is the gradient of CE(batch), g_ref that of CE(replay batch), each replayed image through its own task's head,
    over all trained parameters, heads included. Where g.g_ref < 0, the step is made with
    g - (g.g_ref / g_ref.g_ref) g_ref, else with g. The memory is a uniform sample of all images of the tasks learned
    so far.

    Args:
        memory: capacity, in images (500) or bytes (10MB).
        replay_batch: images of a replay batch; None for as many as the batch has.
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.
        logits: the logits in the loss with --scenario class: of all classes "seen" so far, of the "current" task's only
            (replayed images have all seen ones), or of "all" classes of the stream.

    Differs from the paper:
        replay_batch: as many images as the batch has; the authors' code estimates g_ref on 256 for MNIST and CIFAR-100,
            128 for CUB and AWA (`replay_batch=256`).
        memory: a uniform sample of all images, drawn at the end of a task; the authors' code keeps the last images of
            each class, the same number of each.
        draws: with replacement; there without, and all images as long as there are fewer.
    """

    any_layout = True
    scenarios = ALL_SCENARIOS
    trains_old_heads = True

    def __init__(
        self,
        memory: MemorySize = DEFAULT_MEMORY,
        replay_batch: int | None = None,
        bn: OnePassBN = "shared",
        logits: Logits = "seen",
    ):
        super().__init__(bn, logits)
        self.memory = memory
        self.replay_batch = replay_batch
        self.past = Memory(self, memory, batch=replay_batch)

    def before_backward(self, step: Step) -> None:
        # In this hook because passes have the run's precision here.
        if self.task > 1:
            self.replay_loss(step).backward()
            # Each has its parameter's strides, which the results of torch.autograd.grad need not have.
            self.references = gradients_of(step.trained)
            for parameter in step.trained:
                parameter.grad = None

    @torch.no_grad()
    def after_backward(self, step: Step) -> None:
        if self.task == 1:
            return
        gradients, references = gradients_of(step.trained), self.references
        # Both in the same order, because each pair has the same strides.
        g, g_ref = (torch.cat([values_in_memory(tensor) for tensor in each]) for each in (gradients, references))
        # A clamp, because a comparison would wait for the device; g_ref may be all zero.
        excess = g.dot(g_ref).clamp(max=0) / g_ref.dot(g_ref).clamp(min=torch.finfo(g.dtype).tiny)
        torch._foreach_mul_(references, excess)
        torch._foreach_sub_(gradients, references)

    def replay_loss(self, step: Step) -> Tensor:
        """The cross entropy of a replay batch."""
        network, replayed = step.model, self.past.draw(step, self.past.batch_of(step))
        answers = network.heads.own(network.features(replayed["images"]), replayed["tasks"])
        return cross_entropy(answers, replayed["labels"])

    def after_training_exp(self, step: Step) -> None:
        self.past.add(step.task_data, step.device)
