"""Experience replay."""

from __future__ import annotations

from typing import Any

from baselines.replay import Replay
from methods import methods


@methods.register("er")
class ER(Replay):
    """Experience replay (Chaudhry et al., 2019, arXiv 1902.10486).

    L = CE(batch) + CE(replay batch of the same size), each replayed image through its own task's head. The memory is a
    uniform sample of all images of the tasks learned so far (reservoir sampling).

    Args:
        memory: capacity, in images (500) or bytes (10MB).
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.
    """

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        if self.task > 1:
            strategy.loss += self.replay_loss(strategy)
