"""The common base of the methods on a frozen backbone."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import nn

from methods.method import BatchNorm, Method, Part
from methods.recipe import Range, Recipe


class PerTask(Method):
    """A frozen backbone; the method's own modules belong to the task; a head per task.

    Args:
        bn: "per-task": each task has its own batch normalisation, affine and statistics, 4C values; "frozen": it stays
            as the backbone's, in evaluation mode.

    Attributes:
        own: classes of the modules whose tensors belong to the task.
    """

    recipe = Recipe(optimizer="adam", lr=0.01)
    search = {"lr": Range(1e-3, 0.1)}
    isolates_tasks = True
    own: ClassVar[tuple[type[nn.Module], ...]]

    def __init__(self, bn: Literal["per-task", "frozen"] = "per-task"):
        super().__init__()
        self.bn = bn

    def part(self, module: nn.Module, name: str) -> Part:
        mine = isinstance(module, self.own) or (isinstance(module, BatchNorm) and self.bn == "per-task")
        return "task" if mine else "frozen"
