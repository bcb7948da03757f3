"""A linear classifier per task on frozen features."""

from __future__ import annotations

from torch import nn

from methods import methods
from methods.method import Method, Part
from methods.recipe import Range, Recipe


@methods.register("linear-probe")
class LinearProbe(Method):
    """Frozen backbone, a linear head per task: how good the features are without adapting them. Forgets nothing.

    Features of the training images are computed once per task.
    """

    any_layout = True
    recipe = Recipe(lr=0.1)
    search = {"lr": Range(1e-2, 1.0)}
    isolates_tasks = True

    def part(self, module: nn.Module, name: str) -> Part:
        return "frozen"
