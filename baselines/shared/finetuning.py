"""The common base of the methods that train the whole network."""

from __future__ import annotations

from torch import nn

from methods import BatchNorm, BNPolicy, Method, Part, Recipe


class FineTuning(Method):
    """Every task trains the whole network; a head per task.

    Args:
        bn: "shared": batch normalisation is overwritten like everything else, statistics included; "frozen": it stays
            as the backbone's, in evaluation mode; "per-task": each task keeps its own; this is refused if the heads of
            all tasks are trained in one pass.
    """

    # Without batch normalisation, the first steps on a pretrained network diverge unless they are limited.
    recipe = Recipe(lr=0.03, clip=1.0)

    def __init__(self, bn: BNPolicy = "shared"):
        super().__init__()
        if bn == "per-task" and self.trains_old_heads:
            raise ValueError("bn=per-task cannot be used: one pass serves several tasks; use bn=shared or bn=frozen")
        self.bn = bn

    def part(self, module: nn.Module, name: str) -> Part:
        if isinstance(module, BatchNorm):
            return "task" if self.bn == "per-task" else self.bn
        return "shared"
