"""How a method is trained, and what `tune` tries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

#: Names of optimisers. "adam" adds the weight decay to the gradient as an L2 penalty; "adamw" subtracts it from the
#: weights themselves (Loshchilov and Hutter, 2019, arXiv 1711.05101).
Optimizer = Literal["sgd", "adam", "adamw", "rmsprop"]


@dataclass(frozen=True)
class Recipe:
    """How a method is trained unless the user says otherwise. Every task gets a new optimiser and schedule.

    Attributes:
        optimizer: "sgd", "adam", "adamw" or "rmsprop".
        lr: initial learning rate.
        momentum: for sgd.
        weight_decay: for adamw the share of a weight that each step takes off, times the learning rate; for the others
            the coefficient of an L2 penalty.
        clip: largest L2 norm of a step's whole gradient; a longer one is scaled down to it; 0 for no limit.
        schedule: "constant", "step" (x0.1 after each third of the epochs) or "cosine" (to zero).
        warmup_epochs: the first epochs, in which the learning rate rises to `lr` by the same amount in each step, from
            `lr` divided by the number of these steps; the schedule is that of the epochs after them.
        layer_decay: for transformers: the learning rate of a block, divided by that of the block above it; what is
            before the first block counts as one block more, and heads and what is after the last block learn at `lr`
            (BEiT, Bao et al., 2022, arXiv 2106.08254).
        patience: a task ends after so many epochs without more right answers to its validation images than in the best
            epoch before (early stopping); 0: it has all its epochs.
        keep: the weights that stay after a task: of its "last" epoch, or of its "best" one on its validation images,
            the first of several. Then everything is as if the task had ended after that epoch.
    """

    optimizer: Optimizer = "sgd"
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0
    clip: float = 0.0
    schedule: Literal["constant", "step", "cosine"] = "cosine"
    warmup_epochs: int = 0
    layer_decay: float = 1.0
    patience: int = 0
    keep: Literal["last", "best"] = "last"

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError(f"lr={self.lr:g} must be above 0")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum={self.momentum:g} must be at least 0 and below 1")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay={self.weight_decay:g} must not be negative")
        if self.clip < 0:
            raise ValueError(f"clip={self.clip:g} must not be negative")
        if self.warmup_epochs < 0:
            raise ValueError(f"warmup_epochs={self.warmup_epochs} must not be negative")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay={self.layer_decay:g} must be above 0 and at most 1")
        if self.patience < 0:
            raise ValueError(f"patience={self.patience} must not be negative")

    @property
    def validates(self) -> bool:
        """Whether validation images are looked at after each epoch."""
        return self.patience > 0 or self.keep == "best"


@dataclass(frozen=True)
class Range:
    """Values of an option that `tune` tries: from `low` to `high`, evenly on a logarithmic scale if `log`."""

    low: float
    high: float
    log: bool = True


def rates_for(rates: Range, own: Optimizer, used: Optimizer) -> Range:
    """Move a range of learning rates to another optimiser: SGD needs about ten times the rate of the adaptive ones.

    Args:
        rates: made for the optimiser `own`.
        used: the optimiser that trains.
    """
    factor = {(False, True): 0.1, (True, False): 10.0}.get((own != "sgd", used != "sgd"), 1.0)
    return replace(rates, low=rates.low * factor, high=rates.high * factor)
