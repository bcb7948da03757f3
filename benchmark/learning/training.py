"""How a task is trained: its settings, and the optimiser and schedule made from them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from benchmark.learning.precision import Precision
from methods.recipe import Recipe


@dataclass(frozen=True)
class Training:
    """How a task is trained.

    Attributes:
        recipe: optimiser and schedule.
        epochs: passes over the task's training images.
        batch_size: images per step.
        augment: names of random changes (benchmark.images.augment), applied to each minibatch in this order.
        precision: see benchmark.learning.precision.
        compiled: whether the backbone is compiled (torch.compile).
        dry: do only the steps that are needed to know the cost: the first step, another one whenever the method starts
            to train other tensors, and one in each epoch if a step reads the epoch number.
    """

    recipe: Recipe
    epochs: int
    batch_size: int
    augment: tuple[str, ...] = ()
    precision: Precision = "fp32"
    compiled: bool = False
    dry: bool = False


def make_optimizer(parameters: list[nn.Parameter], recipe: Recipe, device: torch.device) -> torch.optim.Optimizer:
    """Return the recipe's optimiser for `parameters`. On a real device one kernel updates all of them."""
    fused = device.type in ("cpu", "cuda")
    if recipe.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=fused)
    optimizer = torch.optim.SGD(
        parameters, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay, fused=fused
    )
    if recipe.momentum and fused:
        # Zeros give the same result as no buffer, but with them the kernel accepts tensors that are trained only later.
        for parameter in parameters:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def decay(training: Training) -> Callable[[int], float]:
    """Return the learning-rate factor of the recipe's schedule, as a function of the epoch from 0."""
    if training.recipe.schedule == "step":
        return lambda epoch: 0.1 ** (3 * min(epoch, training.epochs - 1) // training.epochs)
    if training.recipe.schedule == "cosine":
        return lambda epoch: (1 + math.cos(epoch / training.epochs * math.pi)) / 2
    return lambda epoch: 1.0
