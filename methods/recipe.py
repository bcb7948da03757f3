"""How a method is trained, and what `tune` tries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Recipe:
    """How a method is trained unless the user says otherwise. Every task gets a new optimiser and schedule.

    Attributes:
        optimizer: "sgd" or "adam".
        lr: initial learning rate.
        momentum: for sgd.
        weight_decay: L2 coefficient in the optimiser.
        clip: largest L2 norm of a step's whole gradient; a longer one is scaled down to it; 0 for no limit.
        schedule: "constant", "step" (x0.1 after each third of the epochs) or "cosine" (to zero).
    """

    optimizer: Literal["sgd", "adam"] = "sgd"
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0
    clip: float = 0.0
    schedule: Literal["constant", "step", "cosine"] = "cosine"

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError(f"lr={self.lr:g} must be above 0")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum={self.momentum:g} must be at least 0 and below 1")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay={self.weight_decay:g} must not be negative")
        if self.clip < 0:
            raise ValueError(f"clip={self.clip:g} must not be negative")


@dataclass(frozen=True)
class Range:
    """Values of an option that `tune` tries: from `low` to `high`, evenly on a logarithmic scale if `log`."""

    low: float
    high: float
    log: bool = True
