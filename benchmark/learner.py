"""learn(): one task, from a state to the next; Avalanche's loop over our batches, with the method as its plugin."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from avalanche.training.plugins import LRSchedulerPlugin
from avalanche.training.templates import SupervisedTemplate
from torch import Tensor, nn

from benchmark.cost import OperationCounter, tensor_bytes
from benchmark.model import Network, Workbench, detached, head_width, is_head
from benchmark.seeds import derive
from benchmark.state import State
from benchmark.streams.base import LabelledImages, Task
from methods.method import Method, Recipe


class DivergedError(RuntimeError):
    """The training loss is no longer a finite number."""


@dataclass(frozen=True)
class Cell:
    """One method on one stream with one seed: what stays the same from task to task.

    Attributes:
        pristine: the backbone as given; copied, never changed.
        make_method: makes a fresh instance of the method.
        most_classes: the largest class count in the stream.
        seed: of the run.
        device: where to train and evaluate.
    """

    pristine: Network
    make_method: Callable[[], Method]
    most_classes: int
    seed: int
    device: torch.device


@dataclass(frozen=True)
class Training:
    """How a task is trained.

    Attributes:
        recipe: optimiser and schedule.
        epochs: passes over the task's training images.
        batch_size: images per step.
        steps: stop each epoch after so many steps; None for all. One step of one epoch is enough to know the cost.
    """

    recipe: Recipe
    epochs: int
    batch_size: int
    steps: int | None = None


@dataclass(frozen=True)
class Learned:
    """What came of learning a task.

    Attributes:
        state: after the task.
        operations_per_epoch: floating-point operations of an epoch: those of the first step, for each image.
        operations_once: exactly those of the method's work before and after the epochs.
        seconds: of training.
        losses: mean training loss of each epoch.
    """

    state: State
    operations_per_epoch: int
    operations_once: int
    seconds: float
    losses: list[float]


class Batches:
    """One epoch over a task's images, in a new random order each time; images stay uint8 until the device has them.

    Args:
        data: images and labels.
        batch_size: images per batch; a last batch of a single image joins the one before, since batch normalisation
            cannot train on one.
        generator: draws the order.
        device: where the batches go.
        steps: stop after so many batches; None for all.
    """

    def __init__(
        self,
        data: LabelledImages,
        batch_size: int,
        generator: torch.Generator,
        device: torch.device,
        steps: int | None,
    ):
        self.data = data
        self.generator = generator
        self.device = device
        count = len(data)
        sizes = [min(batch_size, count - start) for start in range(0, count, batch_size)]
        if len(sizes) > 1 and sizes[-1] == 1:
            sizes[-2:] = [batch_size + 1]
        self.sizes = sizes[:steps]

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
        operations_per_epoch, operations_once, losses: see Learned.
    """

    def __init__(
        self,
        *,
        bench: Workbench,
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
        self.task_data = batches.data
        self.operations_per_epoch = 0
        self.operations_once = 0
        self.losses: list[float] = []
        self._batches = batches
        self._on_epoch = on_epoch
        self._clip = training.recipe.clip
        self._step_counter: ExitStack | None = None
        self._loss_sum: Tensor | float = 0.0

    def shared_parameters(self) -> dict[str, nn.Parameter]:
        """Name -> parameter of the backbone's trainable tensors that all tasks share."""
        return {name: p for name, p in self.bench.trainable() if self.bench.parts.get(name) == "shared"}

    # What follows replaces Avalanche's data sets, loaders and dynamic models by our own, and measures.

    def train_dataset_adaptation(self, **kwargs: Any) -> None:
        pass

    def make_train_dataloader(self, **kwargs: Any) -> None:
        self.dataloader = self._batches

    def check_model_and_optimizer(self, **kwargs: Any) -> None:
        pass

    def forward(self) -> Tensor:
        return self.model(self.mb_x)

    def _unpack_minibatch(self) -> None:
        pass

    def optimizer_step(self) -> None:
        if self._clip:
            nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], self._clip)
        super().optimizer_step()

    def _before_training_exp(self, **kwargs: Any) -> None:
        with OperationCounter() as counter:
            super()._before_training_exp(**kwargs)
        self.operations_once += counter.get_total_flops()

    def _after_training_exp(self, **kwargs: Any) -> None:
        with OperationCounter() as counter:
            super()._after_training_exp(**kwargs)
        self.operations_once += counter.get_total_flops()

    def _before_training_iteration(self, **kwargs: Any) -> None:
        if not self.operations_per_epoch:
            self._step_counter = ExitStack()
            self._counter = self._step_counter.enter_context(OperationCounter())
        super()._before_training_iteration(**kwargs)

    def _after_training_iteration(self, **kwargs: Any) -> None:
        super()._after_training_iteration(**kwargs)
        if self._step_counter is not None:
            self._step_counter.close()
            self._step_counter = None
            per_image = self._counter.get_total_flops() / len(self.mb_y)
            self.operations_per_epoch = round(per_image * len(self.task_data))
        # A tensor, so that the device is not waited for until the epoch ends.
        self._loss_sum = self._loss_sum + self.loss.detach()

    def _after_training_epoch(self, **kwargs: Any) -> None:
        super()._after_training_epoch(**kwargs)
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


def prepare(cell: Cell, state: State, task: int) -> Workbench:
    """A workbench that holds a state: the shared tensors in place, and the heads of the tasks learned so far.

    Args:
        task: the number of the task that is to be learned or evaluated, from 1.
    """
    method = cell.make_method()
    method.task = task
    bench = Workbench(cell.pristine, method, cell.device, cell.most_classes, derive(cell.seed, "adapt"))
    if not method.shared_head:
        for number, tensors in state.tasks.items():
            bench.network.add_head(str(number), head_width(tensors, str(number)))
            bench.network.place({name: tensor for name, tensor in tensors.items() if is_head(name)})
    bench.network.place(state.shared)
    return bench


def start(cell: Cell) -> State:
    """The state before the first task."""
    return State(learned=0, shared=_shared(prepare(cell, State(learned=0, shared={}), task=1)))


def frozen_bytes(cell: Cell) -> int:
    """The size of the frozen part: what is referred to instead of stored."""
    return tensor_bytes(prepare(cell, State(learned=0, shared={}), task=1).take("frozen"))


def learn(
    cell: Cell, state: State, task: Task, training: Training, on_epoch: Callable[[], None] = lambda: None
) -> Learned:
    """Learn the stream's next task. The result depends on nothing but the arguments; `state` is not changed.

    Args:
        state: after the tasks before.
        task: the next task.
        on_epoch: called after each epoch.

    Raises:
        DivergedError: the loss is no longer finite.
    """
    number = state.learned + 1
    bench = prepare(cell, state, number)
    method, key = bench.method, bench.head_key(number)
    if not method.shared_head:
        bench.network.heads.requires_grad_(method.trains_old_heads)
        torch.manual_seed(derive(cell.seed, number, "head"))
        bench.network.add_head(key, len(task.classes))
    bench.network.use_head(key, len(task.classes))
    method.generator = torch.Generator().manual_seed(derive(cell.seed, number, "method"))
    method.kept = {k: v.to(cell.device, copy=True) if v.ndim else v.clone() for k, v in state.memory.items()}

    torch.manual_seed(derive(cell.seed, number, "training"))
    order = torch.Generator().manual_seed(derive(cell.seed, number, "order"))
    batches = Batches(task.train, training.batch_size, order, cell.device, training.steps)
    strategy = Strategy(bench=bench, batches=batches, training=training, device=cell.device, on_epoch=on_epoch)
    began = time.perf_counter()
    strategy.train(SimpleNamespace(current_experience=number - 1, task_label=number - 1), eval_streams=[])
    if cell.device.type == "cuda":
        torch.cuda.synchronize(cell.device)
    seconds = time.perf_counter() - began

    tasks, own = dict(state.tasks), bench.take("task")
    if not method.shared_head:
        own |= bench.take_head(key)
        if method.trains_old_heads:
            tasks = {old: {**tensors, **bench.take_head(str(old))} for old, tensors in tasks.items()}
    memory = {name: detached(tensor) for name, tensor in method.kept.items()}
    learned = State(number, _shared(bench), {**tasks, number: own}, memory)
    return Learned(learned, strategy.operations_per_epoch, strategy.operations_once, seconds, strategy.losses)


def _shared(bench: Workbench) -> dict[str, Tensor]:
    tensors = bench.take("shared")
    return tensors | bench.take_head("shared") if bench.method.shared_head else tensors
