"""Avalanche's training loop over our batches, with the method as its plugin, counting what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from avalanche.training.plugins import LRSchedulerPlugin
from avalanche.training.templates import SupervisedTemplate
from torch import Tensor, nn

from benchmark.cost import OperationCounter
from benchmark.model import Workbench
from benchmark.streams.base import LabelledImages
from methods.method import Recipe


class DivergedError(RuntimeError):
    """The training loss is no longer a finite number."""


@dataclass(frozen=True)
class Training:
    """How a task is trained.

    Attributes:
        recipe: optimiser and schedule.
        epochs: passes over the task's training images.
        batch_size: images per step.
        dry: make only the steps that are needed to know what the training costs: one, and another whenever the method
            begins to train other tensors.
    """

    recipe: Recipe
    epochs: int
    batch_size: int
    dry: bool = False


class Batches:
    """One epoch over the images, in a new random order each time; they stay uint8 until the device has them.

    Args:
        data: images and labels.
        batch_size: images per batch; a last batch of a single image joins the one before, since batch normalisation
            cannot train on one.
        generator: draws the order.
        device: where the batches go.
        dry: only the first batch of each epoch.
    """

    def __init__(
        self,
        data: LabelledImages,
        batch_size: int,
        generator: torch.Generator,
        device: torch.device,
        dry: bool = False,
    ):
        self.data = data
        self.generator = generator
        self.device = device
        count = len(data)
        sizes = [min(batch_size, count - start) for start in range(0, count, batch_size)]
        if len(sizes) > 1 and sizes[-1] == 1:
            sizes[-2:] = [batch_size + 1]
        self.sizes = sizes[:1] if dry else sizes

    def __iter__(self) -> Iterator[list[Tensor]]:
        order = torch.randperm(len(self.data), generator=self.generator)
        for chosen in order[: sum(self.sizes)].split(self.sizes):
            # Convolutions are faster on channels-last inputs, on CPUs and GPUs alike.
            images = self.data.images[chosen].contiguous(memory_format=torch.channels_last)
            batch = [images, self.data.labels[chosen]]
            if self.device.type == "cuda":
                batch = [part.pin_memory().to(self.device, non_blocking=True) for part in batch]
            yield batch


class _NoMetrics:
    """In place of Avalanche's evaluator: the harness evaluates by itself."""

    def get_last_metrics(self) -> dict[str, Any]:
        return {}


class Strategy(SupervisedTemplate):
    """Avalanche's supervised loop on a prepared network, with exact heads and in-memory batches.

    Attributes:
        task_data: the task's training images and labels.
        steps_per_epoch: minibatches of an epoch.
        operations: floating-point operations so far. Those of an epoch are its first step's, for each image; those of
            the method's work before and after the epochs are counted exactly.
        steps: made so far.
        losses: mean training loss of each epoch.
    """

    def __init__(
        self,
        *,
        bench: Workbench,
        task_data: LabelledImages,
        batches: Batches,
        training: Training,
        device: torch.device,
        on_epoch: Callable[[], None],
    ):
        optimizer = make_optimizer([p for _, p in bench.trainable()], training.recipe)
        schedule = LRSchedulerPlugin(torch.optim.lr_scheduler.LambdaLR(optimizer, decay(training)))
        super().__init__(
            model=bench.network,
            optimizer=optimizer,
            criterion=nn.functional.cross_entropy,
            train_mb_size=training.batch_size,
            train_epochs=training.epochs,
            device=device,
            plugins=[bench.method, schedule],
            evaluator=_NoMetrics(),
        )
        self.bench = bench
        self.task_data = task_data
        self.steps_per_epoch = len(batches.sizes)
        self.operations = 0
        self.steps = 0
        self.losses: list[float] = []
        self._batches = batches
        self._dry = training.dry
        self._on_epoch = on_epoch
        self._clip = training.recipe.clip
        # Operations of an epoch in which these tensors are trained; and which they are in this epoch.
        self._operations_of: dict[frozenset[str], int] = {}
        self._trained: frozenset[str] = frozenset()
        self._counting: ExitStack | None = None
        self._loss_sum: Tensor | float = 0.0

    def shared_parameters(self) -> dict[str, nn.Parameter]:
        """Name -> parameter of the backbone's trainable tensors that all tasks share."""
        return {name: p for name, p in self.bench.trainable() if self.bench.parts.get(name) == "shared"}

    # What follows replaces Avalanche's data sets, loaders and dynamic models by our own, and measures.

    def train_dataset_adaptation(self, **kwargs: Any) -> None:
        pass

    dataloader: Iterable[list[Tensor]]

    def make_train_dataloader(self, **kwargs: Any) -> None:
        self.dataloader = self._batches

    def check_model_and_optimizer(self, **kwargs: Any) -> None:
        pass

    def forward(self) -> Tensor:
        return self.bench.method.forward(self)

    def _unpack_minibatch(self) -> None:
        pass

    def optimizer_step(self) -> None:
        if self._clip:
            nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], self._clip)
        super().optimizer_step()

    def train(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        try:
            return super().train(*args, **kwargs)
        finally:
            # A step that failed while it was counted must not leave everything after it counted, and slow.
            if self._counting is not None:
                self._counting.close()

    def _before_training_exp(self, **kwargs: Any) -> None:
        with OperationCounter() as counter:
            super()._before_training_exp(**kwargs)
        self.operations += counter.get_total_flops()

    def _after_training_exp(self, **kwargs: Any) -> None:
        with OperationCounter() as counter:
            super()._after_training_exp(**kwargs)
        self.operations += counter.get_total_flops()

    def _before_training_epoch(self, **kwargs: Any) -> None:
        super()._before_training_epoch(**kwargs)
        self._trained = frozenset(name for name, _ in self.bench.trainable())
        known = self._trained in self._operations_of
        self.dataloader = [] if self._dry and known else self._batches

    def _before_training_iteration(self, **kwargs: Any) -> None:
        if self._trained not in self._operations_of:
            self._counting = ExitStack()
            self._counter = self._counting.enter_context(OperationCounter())
        super()._before_training_iteration(**kwargs)

    def _after_training_iteration(self, **kwargs: Any) -> None:
        super()._after_training_iteration(**kwargs)
        self.steps += 1
        if self._counting is not None:
            self._counting.close()
            self._counting = None
            per_image = self._counter.get_total_flops() / len(self.mb_y)
            self._operations_of[self._trained] = round(per_image * len(self._batches.data))
        # A tensor, so that the device is not waited for until the epoch ends.
        self._loss_sum = self._loss_sum + self.loss.detach()

    def _after_training_epoch(self, **kwargs: Any) -> None:
        super()._after_training_epoch(**kwargs)
        self.operations += self._operations_of[self._trained]
        mean = self._loss_sum / len(self._batches.sizes)
        self._loss_sum = 0.0
        if isinstance(mean, Tensor) and not mean.is_meta:
            self.losses.append(float(mean))
            if not torch.isfinite(mean).all():
                raise DivergedError(
                    f"the training loss is {float(mean)} in epoch {len(self.losses)} of task {self.bench.method.task}; "
                    f"a smaller --lr may help"
                )
        self._on_epoch()


def make_optimizer(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser over `parameters`."""
    if recipe.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(parameters, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)


def decay(training: Training) -> Callable[[int], float]:
    """The factor on the learning rate in each epoch, from 0, as the recipe's schedule has it."""
    if training.recipe.schedule == "step":
        return lambda epoch: 0.1 ** (3 * min(epoch, training.epochs - 1) // training.epochs)
    if training.recipe.schedule == "cosine":
        return lambda epoch: (1 + torch.cos(torch.tensor(epoch / training.epochs * torch.pi)).item()) / 2
    return lambda epoch: 1.0
