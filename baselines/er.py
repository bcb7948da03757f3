"""Experience replay."""

from __future__ import annotations

from typing import Any

from torch.nn.functional import cross_entropy

from baselines.shared.replay import JointReplay
from methods import methods


@methods.register("er")
class ER(JointReplay):
    """Experience replay (Chaudhry et al., 2019, arXiv 1902.10486).

    L = CE(batch) + CE(replay batch of the same size), each replayed image through its own task's head; both pass
    through the network together. The memory is a uniform sample of all images of the tasks learned so far (reservoir
    sampling).

    Args:
        memory: capacity, in images (500) or bytes (10MB).
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.
    """

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        if self.task > 1:
            strategy.loss += cross_entropy(self.answers, self.replayed["labels"])
