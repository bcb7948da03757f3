"""How a task is trained: its settings, and the optimiser and schedule made from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

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


def make_optimizer(
    parameters: Sequence[nn.Parameter], recipe: Recipe, device: torch.device, scales: Sequence[float] = ()
) -> torch.optim.Optimizer:
    """Return the recipe's optimiser for `parameters`. On a real device one kernel updates all of them.

    Args:
        scales: what the learning rate of each parameter is multiplied by, see Method.lr_scale; 1 for all if empty.
            Parameters with the same scale are a group.
    """
    groups = _groups(parameters, scales, recipe.lr)
    decayed: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    fused = takes_lists(device)
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, **decayed, fused=fused)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, **decayed, fused=fused)
    if recipe.optimizer == "rmsprop":
        # Torch has no fused kernel for it.
        return torch.optim.RMSprop(groups, **decayed, foreach=fused)
    optimizer = torch.optim.SGD(groups, **decayed, momentum=recipe.momentum, fused=fused)
    if recipe.momentum and fused:
        # Zeros give the same result as no buffer, but with them the kernel accepts tensors that are trained only later.
        for parameter in parameters:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def takes_lists(device: torch.device) -> bool:
    """Whether torch has kernels there that work on all weights at once. It has few for Apple's GPUs."""
    return device.type in ("cpu", "cuda")


def _groups(parameters: Sequence[nn.Parameter], scales: Sequence[float], lr: float) -> list[dict[str, Any]]:
    """The optimiser's groups: parameters of the same scale, in their order."""
    if not scales:
        return [{"params": list(parameters)}]
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter, scale in zip(parameters, scales, strict=True):
        groups.setdefault(scale, []).append(parameter)
    return [{"params": own, "lr": scale * lr} for scale, own in groups.items()]


def decay(training: Training) -> Callable[[int], float]:
    """Return the learning-rate factor of the recipe's schedule, as a function of the epoch from 0.

    The epochs of a warm-up come before the schedule. In them the factor is 1; see `with_warm_up`.
    """
    warming = training.recipe.warmup_epochs
    # If --epochs leaves nothing after the warm-up, preparation refuses; what only counts operations still asks.
    epochs = max(1, training.epochs - warming)

    def factor(epoch: int) -> float:
        epoch = max(0, epoch - warming)
        if training.recipe.schedule == "step":
            return 0.1 ** (3 * min(epoch, epochs - 1) // epochs)
        if training.recipe.schedule == "cosine":
            return (1 + math.cos(epoch / epochs * math.pi)) / 2
        return 1.0

    return factor


def with_warm_up(training: Training, steps_per_epoch: int) -> Callable[[int], float]:
    """Return the learning-rate factor of warm-up and schedule, as a function of the step from 0.

    In the warm-up's n steps it is 1/n, 2/n, ... 1; then it is that of `decay` for the step's epoch.
    """
    steps, after = training.recipe.warmup_epochs * steps_per_epoch, decay(training)
    return lambda step: (step + 1) / steps if step < steps else after(step // steps_per_epoch)


def scheduler(
    optimizer: torch.optim.Optimizer, training: Training, steps_per_epoch: int
) -> tuple[LambdaLR, Literal["iteration", "epoch"]]:
    """Return the schedule of an optimiser's learning rates, and after what it has to be stepped.

    Only a warm-up needs other learning rates in each step. Otherwise steps need not wait for the schedule.
    """
    if training.recipe.warmup_epochs:
        return LambdaLR(optimizer, with_warm_up(training, steps_per_epoch)), "iteration"
    return LambdaLR(optimizer, decay(training)), "epoch"
