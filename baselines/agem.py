"""Averaged gradient episodic memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from baselines.shared.gradients import gradients_of
from baselines.shared.replay import Replay
from methods import methods


@methods.register("agem")
class AGEM(Replay):
    """A-GEM (Chaudhry et al., 2019, arXiv 1812.00420): a step must not raise the loss on stored images.

    g is the gradient of CE(batch), g_ref that of CE(replay batch of the same size), each replayed image through its own
    task's head, over all trained parameters, heads included. Where g.g_ref < 0, the step is made with
    g - (g.g_ref / g_ref.g_ref) g_ref, else with g. The memory is a uniform sample of all images of the tasks learned
    so far.

    Args:
        memory: capacity, in images (500) or bytes (10MB).
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.
    """

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        # Here, where passes have the run's precision.
        if self.task > 1:
            trained = strategy.optimizer.param_groups[0]["params"]
            # Zero where the loss does not depend on a parameter.
            self.references = torch.autograd.grad(self.replay_loss(strategy), trained, materialize_grads=True)

    def after_backward(self, strategy: Any, **kwargs: Any) -> None:
        if self.task == 1:
            return
        gradients = gradients_of(strategy.optimizer.param_groups[0]["params"])
        references = self.references
        g, g_ref = (torch.cat([part.flatten() for part in parts]) for parts in (gradients, references))
        # Clamped instead of compared, so that the device is not waited for; g_ref may be all zero.
        excess = g.dot(g_ref).clamp(max=0) / g_ref.dot(g_ref).clamp(min=torch.finfo(g.dtype).tiny)
        for gradient, reference in zip(gradients, references, strict=True):
            gradient.sub_(excess * reference)

    def replay_loss(self, strategy: Any) -> Tensor:
        """The cross entropy of a replay batch of the minibatch's size."""
        network, replayed = strategy.model, self.draw(strategy, len(strategy.mb_y))
        images = replayed["images"].contiguous(memory_format=torch.channels_last)
        answers = network.heads.own(network.features(images), replayed["tasks"])
        return cross_entropy(answers, replayed["labels"])
