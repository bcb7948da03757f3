"""The common base of the methods that build on the network of the first task."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import nn

from baselines.shared.finetuning import FineTuning
from methods import BatchNorm, Method, Part

Anchor = Literal["first-task", "pretrained"]


class Anchored(Method):
    """A fixed network; the method's own modules and batch normalisation belong to the task.

    Args:
        anchor: "first-task": the first task trains the whole network, and then it is fixed; "pretrained": it is the
            backbone as given, fixed from the first task on.

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
