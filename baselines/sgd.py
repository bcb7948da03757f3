"""Plain fine-tuning: the lower bound that forgets."""

from __future__ import annotations

from baselines.shared.finetuning import ALL_SCENARIOS, FineTuning
from methods import methods


@methods.register("sgd")
class SGD(FineTuning):
    """Fine-tune everything on each task in turn, one head per task, and do nothing against forgetting.

    Args:
        bn: batch normalisation "shared" by all tasks, "frozen" as the backbone's, or "per-task".
        logits: the logits in the loss with --scenario class: of all classes "seen" so far, of the "current" task's
            only, or of "all" classes of the stream.
    """

    any_layout = True
    scenarios = ALL_SCENARIOS
