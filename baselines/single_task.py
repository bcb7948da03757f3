"""A network per task: fine-tuning that cannot forget."""

from __future__ import annotations

from torch import nn

from baselines.shared.finetuning import FineTuning
from methods import methods
from methods.method import Method, Part


@methods.register("single-task")
class SingleTask(Method):
    """A copy of the backbone per task, fine-tuned on that task alone: nothing is shared, nothing is forgotten."""

    any_layout = True
    recipe = FineTuning.recipe
    isolates_tasks = True
    bound = True

    def part(self, module: nn.Module, name: str) -> Part:
        return "task"
