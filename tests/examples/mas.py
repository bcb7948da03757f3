"""Memory aware synapses, written from CONTRIBUTING alone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from baselines.shared.finetuning import FineTuning
from methods import BNPolicy, Range, Step, methods


@methods.register("mas")
class MAS(FineTuning):
    """Memory aware synapses (Aljundi et al., 2018, arXiv 1711.09601).

    L = CE + strength/2 * sum_i Omega_i (theta_i - theta*_i)^2, theta* where the last task left the shared parameters.
    At the end of a task Omega_i += 1/N sum_n |d ||F(x_n)||^2 / d theta_i| over its N images, F the logits.

    Args:
        strength: twice the paper's lambda.
        samples: images of a task on which the importance is estimated, at most.
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.
    """

    search = {**FineTuning.search, "strength": Range(0.01, 10.0)}

    def __init__(self, strength: float = 1.0, samples: int = 200, bn: BNPolicy = "shared"):
        super().__init__(bn)
        if strength < 0:
            raise ValueError(f"strength={strength:g} must not be negative")
        if samples < 1:
            raise ValueError(f"samples={samples} must be at least 1")
        self.strength = strength
        self.samples = samples

    def before_backward(self, step: Step) -> None:
        if "importance" in self.kept:
            theta = parameters_to_vector(step.shared_parameters().values())
            step.loss += self.strength / 2 * (self.kept["importance"] * (theta - self.kept["anchor"]).square()).sum()

    def after_training_exp(self, step: Step) -> None:
        shared = list(step.shared_parameters().values())
        theta = parameters_to_vector(shared).detach()
        self.kept["importance"] = self.kept.get("importance", torch.zeros_like(theta)) + self.importance(step, shared)
        self.kept["anchor"] = theta

    def importance(self, step: Step, shared: list[torch.nn.Parameter]) -> Tensor:
        """[P]: of one image at a time, since the absolute value is taken of each image's gradient."""
        images = step.task_data.images[: self.samples]
        total = [torch.zeros_like(parameter) for parameter in shared]
        step.model.eval()
        for image in images.split(1):
            length = step.model(image.to(step.device)).square().sum()
            gradients = torch.autograd.grad(length, shared, materialize_grads=True)
            total = [one + gradient.abs() for one, gradient in zip(total, gradients, strict=True)]
        step.model.train()
        return parameters_to_vector(total) / len(images)
