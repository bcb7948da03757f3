"""Incremental moment matching by the mean."""

from __future__ import annotations

import torch

from baselines.shared.finetuning import FineTuning
from methods import BNPolicy, Step


class MeanIMM(FineTuning):
    """Incremental moment matching by the mean (Lee et al., 2017, arXiv 1703.08475).

    A task fine-tunes the shared parameters from theta*, where the last task left them, to theta. What it leaves is
    theta* + share (theta - theta*): with share = 1/t after t tasks, the mean of what the tasks arrived at. This needs
    no memory. Statistics of batch normalisation suit the weights with which they were taken, and not the mean: hence
    they are frozen unless told otherwise.

    Args:
        share: the weight of the new task, above 0 and at most 1; none for 1/t.
        bn: batch normalisation "shared" by all tasks, "frozen" as the backbone's, or "per-task".
    """

    def __init__(self, share: float | None = None, bn: BNPolicy = "frozen"):
        super().__init__(bn)
        if share is not None and not 0 < share <= 1:
            raise ValueError(f"share={share:g} must be above 0 and at most 1")
        self.share = share

    def before_training_exp(self, step: Step) -> None:
        self.found = {name: tensor.detach().clone() for name, tensor in step.shared_parameters().items()}

    @torch.no_grad()
    def after_training_exp(self, step: Step) -> None:
        share = self.share or 1 / self.task
        for name, parameter in step.shared_parameters().items():
            parameter.copy_(self.found[name].lerp(parameter, share))
