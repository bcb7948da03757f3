"""Plain fine-tuning: the lower bound that forgets."""

from __future__ import annotations

from baselines.shared.finetuning import FineTuning
from methods import methods


@methods.register("sgd")
class SGD(FineTuning):
    """Fine-tune everything on each task in turn, one head per task, and do nothing against forgetting.

    Args:
        bn: batch normalisation "shared" by all tasks, "frozen" as the backbone's, or "per-task".
    """

    any_layout = True
