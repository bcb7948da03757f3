"""What the methods on the network learned on the first task have in common."""

from __future__ import annotations

from typing import Literal

from torch import nn

from baselines.shared.finetuning import FineTuning
from baselines.shared.per_task import PerTask
from methods.method import Part

Anchor = Literal["first-task", "pretrained"]


class Anchored(PerTask):
    """Modules of the method's own and batch normalisation, which belong to the task, on a network that stays fixed.

    Args:
        anchor: "first-task": the first task trains the whole network, which later tasks find fixed; "pretrained": it is
            the backbone as given, from the first task on.
    """

    # The first task trains the whole network.
    recipe = FineTuning.recipe

    def __init__(self, anchor: Anchor = "first-task"):
        super().__init__()
        self.anchor = anchor

    def part(self, module: nn.Module, name: str) -> Part:
        part = super().part(module, name)
        return "shared" if part == "frozen" and self.anchor == "first-task" else part

    def trains(self, module: nn.Module, name: str) -> bool:
        return self.task == 1 or self.part(module, name) == "task"
