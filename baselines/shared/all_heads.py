"""What the methods that train the heads of several tasks at once have in common."""

from __future__ import annotations

from baselines.shared.finetuning import FineTuning
from methods.method import BNPolicy


class AllHeads(FineTuning):
    """Every task trains the whole network and the heads of all tasks so far, in one pass through the backbone.

    Args:
        bn: "shared" or "frozen", see FineTuning; one pass cannot use each task's own, so "per-task" is refused.
    """

    trains_old_heads = True

    def __init__(self, bn: BNPolicy = "shared"):
        super().__init__(bn)
        if bn == "per-task":
            raise ValueError("bn=per-task cannot be used: one pass serves several tasks; use bn=shared or bn=frozen")
