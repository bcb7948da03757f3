"""Dark experience replay with labels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from baselines.shared.finetuning import FineTuning
from baselines.shared.replay import JointReplay
from baselines.shared.reservoir import DEFAULT_MEMORY
from methods import methods
from methods.memory import MemorySize
from methods.method import REPLAY, BNPolicy
from methods.recipe import Range

_LOGITS = REPLAY + "logits"


@methods.register("derpp")
class DERpp(JointReplay):
    """Dark experience replay++ (Buzzega et al., 2020, arXiv 2004.07211).

    L = CE(batch) + alpha * MSE(f(x'), z') + beta * CE(f(x''), y''), x' and x'' two independent replay batches of the
    batch's size, each image through its own task's head; all three pass through the network together. The logits z' are
    those of the network in evaluation mode at the end of the task, when the image enters the memory. The MSE is the
    mean over the image's own classes, then over the batch. The memory is a uniform sample of all images of the tasks
    learned so far (reservoir sampling).

    Args:
        alpha, beta: weights of the stored logits and of the stored labels.
        memory: capacity, in images (500) or bytes (10MB), of which the logits take their share.
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.
    """

    # Ever fewer of a task's images enter the memory, and logits are computed for these only.
    grows_evenly = False
    batches = 2
    search = {**FineTuning.search, "alpha": Range(0.1, 1.0), "beta": Range(0.1, 1.0)}

    def __init__(
        self, alpha: float = 0.3, beta: float = 0.5, memory: MemorySize = DEFAULT_MEMORY, bn: BNPolicy = "shared"
    ):
        super().__init__(memory, bn)
        if alpha < 0:
            raise ValueError(f"alpha={alpha:g} must not be negative")
        if beta < 0:
            raise ValueError(f"beta={beta:g} must not be negative")
        self.alpha = alpha
        self.beta = beta

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Learn how wide the logits of a sample are from now on: as the widest head so far."""
        heads = strategy.model.heads
        self.width = heads.layout.shape[1]
        #: The classes of each task.
        self.widths = (heads.layout < len(heads.bias)).sum(1)
        if self.task > 1:
            self.kept[_LOGITS] = self.widened(self.kept[_LOGITS])

    def widened(self, logits: Tensor) -> Tensor:
        return pad(logits, (0, self.width - logits.shape[1]))

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        if self.task > 1:
            first, second = self.answers.chunk(2)
            count = len(first)
            # Beyond the image's own classes both are 0.
            squares = (first.nan_to_num(nan=float("nan"), neginf=0.0) - self.replayed["logits"][:count]).square()
            mse = (squares.sum(1) / self.widths[self.replayed["tasks"][:count] - 1]).mean()
            cross_entropies = cross_entropy(second, self.replayed["labels"][count:])
            strategy.loss += self.alpha * mse + self.beta * cross_entropies

    def sample_bytes(self, strategy: Any) -> int:
        return super().sample_bytes(strategy) + 4 * self.width

    def samples(self, strategy: Any, chosen: Tensor) -> dict[str, Tensor]:
        samples = super().samples(strategy, chosen)
        network = strategy.model.eval()
        logits = torch.cat([network(images) for images in samples["images"].split(strategy.train_mb_size)])
        network.train()
        return {**samples, "logits": self.widened(logits.float())}
