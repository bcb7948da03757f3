"""A network per task: fine-tuning that cannot forget."""

from __future__ import annotations

from torch import nn

from methods import methods
from methods.method import Method, Part
from methods.recipe import Range, Recipe


@methods.register("single-task")
class SingleTask(Method):
    """A copy of the backbone per task, fine-tuned on that task alone: nothing is shared, nothing is forgotten."""

    any_layout = True
    recipe = Recipe(optimizer="adam", lr=0.0054, clip=1.0)
    search = {"lr": Range(1e-4, 0.03)}
    isolates_tasks = True
    bound = True

    def part(self, module: nn.Module, name: str) -> Part:
        return "task"
