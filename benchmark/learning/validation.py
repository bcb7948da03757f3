"""Which epoch of a task was the best so far on its validation images, and whether it is worth going on."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch.nn.utils import parametrize

from benchmark.images.batches import in_order
from benchmark.images.layout import MemoryFormat
from benchmark.learning.clock import Clock
from benchmark.learning.precision import Precision, computing
from methods.data import Samples
from methods.network import Network
from methods.recipe import Recipe


class Validation:
    """Asks a network in training about the validation images of its task.

    Args:
        network: the network.
        data: the validation images, or their features where these are computed once.
        classes: the first of its logits that count.
        precision, memory_format: of the passes.
        clock: of the training, which a pass is a part of.

    Attributes:
        operations: floating-point operations of all passes so far.
    """

    def __init__(
        self,
        network: Network,
        data: Samples,
        classes: int,
        precision: Precision,
        memory_format: MemoryFormat,
        clock: Clock,
    ):
        self.operations = 0
        self.data = data
        self._network = network
        self._classes = classes
        self._precision: Precision = precision
        self._memory_format: MemoryFormat = memory_format
        self._clock = clock
        # All passes do the same work.
        self._of_a_pass: int | None = None

    def right(self) -> int:
        """Pass over all images in evaluation mode; return the number of right answers, 0 without values."""
        if self._of_a_pass is None:
            with self._clock.counting() as counter:
                right = self._pass()
            self._of_a_pass = counter.get_total_flops()
        else:
            # Without values, a pass has nothing to tell.
            right = 0 if self._network.scale.is_meta else self._pass()
        self.operations += self._of_a_pass
        return right

    @torch.no_grad()
    def _pass(self) -> int:
        network, device = self._network, self._network.scale.device
        modes = [(module, module.training) for module in network.modules()]
        network.eval()
        right = torch.zeros((), dtype=torch.int64, device=device)
        answer = network.answer if self.data.images.ndim == 2 else network
        once = nullcontext() if network.weights_vary else parametrize.cached()
        with computing(self._precision, device), once:
            for images, labels in in_order(self.data, device, self._memory_format):
                right += (answer(images)[:, : self._classes].argmax(1) == labels).sum()
        for module, training in modes:
            module.training = training
        return 0 if right.is_meta else int(right)


@dataclass
class Stopping:
    """When a task ends, and which epoch of it is kept.

    Attributes:
        recipe: says when.
        images: how many validation images there are.
        right: epoch -> its right answers, of the epochs that may be the last.
        best: the number of the best of these epochs, from 1, the first of several; 0 before the first.
        learned: the number of epochs so far.
    """

    recipe: Recipe
    images: int
    right: dict[int, int] = field(default_factory=dict)
    best: int = 0
    learned: int = 0
    _most: int = -1
    _waited: int = 0

    def look(self, epoch: int, right: int) -> bool:
        """Take note of the right answers after an epoch; return whether there are more than ever before."""
        self.right[epoch] = right
        better = right > self._most
        if better:
            self.best, self._most, self._waited = epoch, right, 0
        else:
            self._waited += 1
        return better

    @property
    def ends(self) -> bool:
        """Whether there were too many epochs without a better one."""
        return 0 < self.recipe.patience <= self._waited

    @property
    def kept(self) -> int:
        """The number of the epoch whose weights are kept."""
        return self.best if self.recipe.keep == "best" else self.learned

    @property
    def accuracy(self) -> float | None:
        """The accuracy after that epoch on the validation images; None if nobody looked then."""
        return self.right[self.kept] / self.images if self.kept in self.right else None

    @property
    def accuracies(self) -> list[float]:
        """The accuracies after all epochs that may be the last."""
        return [right / self.images for right in self.right.values()]
