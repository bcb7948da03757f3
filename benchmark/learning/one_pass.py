"""The training of a task by a method that makes no gradient steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from torch import Tensor, nn

from benchmark.images.layout import MemoryFormat
from benchmark.learning.clock import Clock
from benchmark.learning.features import features_in_order, warm_up
from benchmark.learning.precision import Precision
from benchmark.learning.strategy import DivergedError
from benchmark.learning.workbench import Workbench
from methods.data import Samples
from methods.step import Step


class OnePass:
    """What the hooks before and after the training find, where there are no epochs, no optimiser and no minibatches.

    It is the part of a Step that is left: `model`, `task_data`, `device` and `task_features`.

    Args:
        bench: the network and the method.
        task_data: the task's training images.
        precision: of passes through the backbone.
        clock: the clock of the training.
        memory_format: how the images of a batch lie in memory.
    """

    def __init__(
        self, bench: Workbench, task_data: Samples, precision: Precision, clock: Clock, memory_format: MemoryFormat
    ):
        self.model = bench.network
        self.device = bench.network.scale.device
        self.task_data = task_data
        self._method = bench.method
        self._precision = precision
        self._clock = clock
        self._memory_format = memory_format

    def task_features(self) -> Iterator[tuple[Tensor, Tensor]]:
        """See Step."""
        return features_in_order(self.model, self.task_data, self.device, self._precision, self._memory_format)

    def learn(self) -> int:
        """Let the method learn; return the floating-point operations, all of them counted.

        Raises:
            DivergedError: the weights of a head are not finite.
        """
        warm_up(self.model, self.task_data, self.device, self._precision, self._clock)
        self.model.train()
        step = cast(Step, self)
        with self._clock.counting() as counter:
            self._method.before_training_exp(step)
            self._method.after_training_exp(step)
        weights = [parameter.detach() for parameter in self.model.heads.parameters()]
        if self.device.type != "meta" and not nn.utils.get_total_norm(weights).isfinite():
            raise DivergedError(f"the weights of the head are not finite after task {self._method.task}")
        return counter.get_total_flops()
