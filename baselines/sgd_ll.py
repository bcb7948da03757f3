"""One linear classifier for all tasks on a frozen backbone."""

from __future__ import annotations

from torch import nn

from methods import methods
from methods.method import Method, Part
from methods.recipe import Recipe


@methods.register("sgd-ll")
class SGDLastLayer(Method):
    """Frozen backbone and ONE linear head, as wide as the largest class count, which every task trains further.

    A task uses as many units as it has classes, the first ones: the task is known at test time, or all tasks have the
    same classes. Features of the training images are computed once per task.
    """

    any_layout = True
    scenarios = ("task", "domain")
    recipe = Recipe(lr=0.03)
    shared_head = True

    def part(self, module: nn.Module, name: str) -> Part:
        return "frozen"
