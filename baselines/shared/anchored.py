"""What the methods on the network learned on the first task have in common."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import nn

from baselines.shared.finetuning import FineTuning
from methods import BatchNorm, Method, Part

Anchor = Literal["first-task", "pretrained"]


class Anchored(Method):
    """Modules of the method's own and batch normalisation, which belong to the task, on a network that stays fixed.

    Args:
        anchor: "first-task": the first task trains the whole network, which later tasks find fixed; "pretrained": it is
            the backbone as given, from the first task on.

    Attributes:
        own: classes of the modules whose tensors belong to the task.
    """

    # The first task trains the whole network.
    recipe = FineTuning.recipe
    isolates_tasks = True
    own: ClassVar[tuple[type[nn.Module], ...]]

    def __init__(self, anchor: Anchor = "first-task"):
        super().__init__()
        self.anchor = anchor

    def part(self, module: nn.Module, name: str) -> Part:
        if isinstance(module, (*self.own, BatchNorm)):
            return "task"
        return "shared" if self.anchor == "first-task" else "frozen"

    def trains(self, module: nn.Module, name: str) -> bool:
        return self.task == 1 or self.part(module, name) == "task"
