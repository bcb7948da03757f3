"""Experience replay."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy

from baselines.shared.finetuning import ALL_SCENARIOS, FineTuning
from baselines.shared.memory import DEFAULT_MEMORY, Memory, answer_together
from methods import BNPolicy, MemorySize, Step, methods
from methods.scenarios import Logits


@methods.register("er")
class ER(FineTuning):
    """Experience replay (Chaudhry et al., 2019, arXiv 1902.10486).

    L = CE(batch) + CE(replay batch of the same size), each replayed image through its own task's head; both pass
    through the network together. The memory is a uniform sample of all images of the tasks learned so far (reservoir
    sampling).

    Args:
        memory: capacity, in images (500) or bytes (10MB).
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.
        logits: the logits in the loss with --scenario class: of all classes "seen" so far, of the "current" task's only
            (replayed images have all seen ones), or of "all" classes of the stream.
    """

    any_layout = True
    scenarios = ALL_SCENARIOS
    trains_old_heads = True

    def __init__(self, memory: MemorySize = DEFAULT_MEMORY, bn: BNPolicy = "shared", logits: Logits = "seen"):
        super().__init__(bn, logits)
        self.memory = memory
        self.past = Memory(self, memory)

    def forward(self, step: Step) -> Tensor:
        if self.task == 1:
            return super().forward(step)
        self.replayed = self.past.draw(step, len(step.labels))
        logits, self.answers = answer_together(step, self.task, self.replayed)
        return logits

    def before_backward(self, step: Step) -> None:
        if self.task > 1:
            step.loss += cross_entropy(self.answers, self.replayed["labels"])

    def after_training_exp(self, step: Step) -> None:
        self.past.add(step.task_data, step.device)
