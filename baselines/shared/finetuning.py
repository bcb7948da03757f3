"""The common base of the methods that train the whole network."""

from __future__ import annotations

from typing import Annotated, Literal

from torch import nn

from methods import BatchNorm, BNPolicy, Method, Part, Recipe, Start
from methods.scenarios import Logits, Scenario

#: The scenarios of methods that have an answer of their own in each. Each method says it for itself: others that derive
#: from the base below may use their heads in ways that make no sense with one head for all tasks.
ALL_SCENARIOS: tuple[Scenario, ...] = ("task", "class", "domain")

#: What a method can do with batch normalisation if it passes images of several tasks through the network together.
OnePassBN = Annotated[Literal["shared", "frozen"], "one pass serves several tasks"]


class FineTuning(Method):
    """Every task trains the whole network; a head per task, or one head for all tasks where the scenario asks for it.

    Args:
        bn: "shared": batch normalisation is overwritten like everything else, statistics included; "frozen": it stays
            as the backbone's, in evaluation mode; "per-task": each task keeps its own, which starts where the last
            task left it, as the weights do; this is refused if the heads of all tasks are trained in one pass.
        logits: which logits take part in the loss in the scenario "class"; see methods.scenarios.
    """

    # Without batch normalisation, the first steps on a pretrained network diverge unless they are limited.
    recipe = Recipe(lr=0.03, clip=1.0)

    def __init__(self, bn: BNPolicy = "shared", logits: Logits = "seen"):
        super().__init__()
        if bn == "per-task" and self.trains_old_heads:
            raise ValueError("bn=per-task cannot be used: one pass serves several tasks; use bn=shared or bn=frozen")
        self.bn = bn
        self.logits = logits

    def part(self, module: nn.Module, name: str) -> Part:
        if isinstance(module, BatchNorm):
            return "task" if self.bn == "per-task" else self.bn
        return "shared"

    def starts_at(self, module: nn.Module, name: str) -> Start:
        return "last-task" if isinstance(module, BatchNorm) else super().starts_at(module, name)
