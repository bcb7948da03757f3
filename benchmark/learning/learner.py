"""learn() learns one task, from a state to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise, starmap
from types import SimpleNamespace

import torch
from torch import Tensor

from benchmark.images.augment import augmentation
from benchmark.images.batches import Batches
from benchmark.images.layout import MemoryFormat, laid_out
from benchmark.learning.clock import Clock, TrainingSeconds
from benchmark.learning.compilation import compile_network
from benchmark.learning.course import Checkpoints
from benchmark.learning.features import Features, precompute
from benchmark.learning.one_pass import OnePass
from benchmark.learning.precision import arithmetic
from benchmark.learning.seeds import derive
from benchmark.learning.strategy import Strategy
from benchmark.learning.training import Training
from benchmark.learning.validation import Stopping, Validation
from benchmark.learning.workbench import Workbench, detached
from benchmark.storage.state import State, tensor_bytes
from benchmark.streams.base import Task
from methods.data import Samples
from methods.devices import is_gpu
from methods.heads import head_width
from methods.joint_head import SHARED, JointHead
from methods.method import Method
from methods.network import Network
from methods.scenarios import Logits, Scenario


@dataclass(frozen=True)
class Cell:
    """One method on one stream with one seed: all that is the same for every task.

    Attributes:
        pristine: the backbone as given; copied, never changed.
        make_method: makes a fresh instance of the method.
        most_classes: the largest class count in the stream.
        seed: the run's seed.
        device: where to train and evaluate.
        tasks: the names of the stream's tasks, in the order of learning. Random numbers depend on a task's name, so
            that they are the same at any place in the stream. Without names, they depend on its number.
        memory_format: how images and the weights of convolutions lie in memory; it changes results by rounding only.
        scenario: who knows the task of an image. Labels are columns of the logits: see `in_columns`.
        widths: the class counts of the stream's tasks, in the order of learning; only needed in the scenario "class",
            and by a Panel.
    """

    pristine: Network
    make_method: Callable[[], Method]
    most_classes: int
    seed: int
    device: torch.device
    tasks: tuple[str, ...] = ()
    memory_format: MemoryFormat = "channels-last"
    scenario: Scenario = "task"
    widths: tuple[int, ...] = ()

    def columns(self, learned: int) -> tuple[range, ...]:
        """The columns of the first tasks' classes among the logits of a joint head."""
        if self.scenario != "class":
            return (range(self.most_classes),) * learned
        return tuple(starmap(range, pairwise(accumulate(self.widths[:learned], initial=0))))

    def answered(self, learned: int, classes: int) -> int:
        """How many logits answer for a task of `classes` classes after `learned` tasks."""
        return sum(self.widths[:learned]) if self.scenario == "class" else classes

    def data_key(self, learned: int, images: str) -> str:
        """What answers after `learned` tasks depend on beside the network: the images, and how many classes compete.

        Args:
            images: their fingerprint.
        """
        return f"{images} among {self.answered(learned, 0)}" if self.scenario == "class" else images

    def derive(self, task: int, purpose: str) -> int:
        """Return the seed for one purpose of a task. Tasks are numbered from 1."""
        return derive(self.seed, self.tasks[task - 1] if self.tasks else task, purpose)


@dataclass(frozen=True)
class LearnedTask:
    """The result of learning a task.

    Attributes:
        state: the state after the task.
        operations: floating-point operations: those of the steps as StepCounts counts them; those of the method's
            work before and after the epochs, or without epochs, exactly.
        steps: number of training steps.
        timing: how long the training takes.
        losses: mean training loss of each epoch.
        features_cached: whether the backbone saw each image only once, and the epochs used its features.
        stopping: which epoch is kept and how many there were; None if the recipe says nothing about it.
    """

    state: State
    operations: int
    steps: int
    timing: TrainingSeconds
    losses: list[float]
    features_cached: bool
    stopping: Stopping | None = None

    @property
    def seconds(self) -> float:
        """How long the training takes."""
        return self.timing.training


def prepare(cell: Cell, task: int) -> Workbench:
    """Return a fresh workbench: the method's modules in the given backbone, without heads of tasks.

    Args:
        task: the number of the task to learn or evaluate, from 1.
    """
    method = cell.make_method()
    _set_task(cell, method, task)
    return Workbench(cell.pristine, method, cell.device, cell.most_classes, derive(cell.seed, "adapt"))


def switch_task(cell: Cell, bench: Workbench, task: int) -> None:
    """Make a workbench that serves all tasks one of another task; the values are still to be restored."""
    _set_task(cell, bench.method, task)
    torch.manual_seed(derive(cell.seed, "adapt"))
    bench.switch_task()


def _set_task(cell: Cell, method: Method, task: int) -> None:
    method.scenario = cell.scenario
    method.task = task
    method.generator = torch.Generator().manual_seed(cell.derive(task, "adapt"))


def start(cell: Cell) -> State:
    """Return the state before the first task."""
    return State(learned=0, shared=_shared(prepare(cell, task=1)))


def is_independent(cell: Cell) -> bool:
    """Whether no task of a cell needs anything from earlier tasks, so that they can be learned in any order."""
    bench = prepare(cell, task=1)
    alone = not _shared(bench) and set(bench.starts.values()) <= {"initial"}
    return cell.scenario == "task" and bench.method.isolates_tasks and alone


def units_from_start(method: Method, widths: Sequence[int]) -> int:
    """How many units a head has in every task, those for the classes of later tasks included; 0 if it grows with them.

    Nothing else of later tasks reaches the learning of a task.

    Args:
        method: with the scenario in which it learns.
        widths: the class counts of the stream's tasks.
    """
    if method.shared_head or method.scenario == "domain":
        return max(widths)
    return sum(widths) if method.scenario == "class" and method.logits == "all" else 0


def frozen_bytes(cell: Cell) -> int:
    """Return the size of the frozen part, which is not stored but referred to."""
    return tensor_bytes(prepare(cell, task=1).take("frozen"))


def learn(
    cell: Cell,
    state: State,
    task: Task,
    training: Training,
    on_epoch: Callable[[], None] = lambda: None,
    checkpoints: Checkpoints | None = None,
) -> LearnedTask:
    """Learn the stream's next task. The result depends only on the arguments; `state` is not changed.

    Args:
        state: the state after the earlier tasks.
        task: the next task.
        on_epoch: called after each epoch, or once if the method makes no gradient steps in any task.
        checkpoints: where the training of the task is stored in its middle, and from where it goes on; None for
            nowhere. A task without gradient steps has none.

    Raises:
        DivergedError: the loss is no longer finite.
        CannotResumeError: the checkpoint does not fit; without it the task can be learned from its beginning.
        UserError: the best epoch cannot be kept, because an object of the method cannot be stored.
    """
    with arithmetic(training.precision, cell.device):
        return _learn_in_set_precision(cell, state, task, training, on_epoch, checkpoints)


def _learn_in_set_precision(
    cell: Cell,
    state: State,
    task: Task,
    training: Training,
    on_epoch: Callable[[], None],
    checkpoints: Checkpoints | None,
) -> LearnedTask:
    number = state.learned + 1
    bench = prepare(cell, number)
    method, key = bench.method, bench.head_key(number)
    classes = _add_heads(cell, bench, state, number, len(task.classes))
    if not method.starts_over:
        bench.restore(state.shared)
    if number > 1:
        bench.restore(_own_values(bench, state))
    bench.network.use_head(key, classes)
    bench.lay_out(cell.memory_format)
    method.generator = torch.Generator().manual_seed(cell.derive(number, "method"))
    # In one order, whether it was kept a moment ago or read from its file: sums over it must have the same bits.
    memory = sorted(state.memory.items())
    method.kept = {name: _kept(method, name, tensor, cell.device) for name, tensor in memory}

    clock = Clock(cell.device)
    torch.manual_seed(cell.derive(number, "training"))
    if method.trains_task():
        lasting = [tensor for _, tensor in memory]
        lesson = _in_steps(cell, bench, number, task, training, clock, on_epoch, checkpoints, lasting)
    else:
        lesson = _in_one_pass(cell, bench, task, training, clock, on_epoch)
    timing = clock.read()

    tasks, own = dict(state.tasks), bench.take("task")
    if not bench.head_is_shared:
        own |= bench.take_head(key)
        if method.trains_old_heads:
            tasks = {old: {**tensors, **bench.take_head(str(old))} for old, tensors in tasks.items()}
    kept = {name: _memory(method, name, tensor) for name, tensor in method.kept.items()}
    learned = State(number, _shared(bench), {**tasks, number: own}, kept)
    return LearnedTask(
        learned, lesson.operations, lesson.steps, timing, lesson.losses, lesson.features_cached, lesson.stopping
    )


def _own_values(bench: Workbench, state: State) -> dict[str, Tensor]:
    """The values of the next task's own tensors that start where an earlier task left them, if that task had them."""
    places = {"first-task": 1, "last-task": state.learned}
    left = {name: state.tasks[places[start]] for name, start in bench.starts.items() if start in places}
    return {name: tensors[name] for name, tensors in left.items() if name in tensors}


@dataclass(frozen=True)
class _Lesson:
    """What the training of a task tells, beside the state: see LearnedTask."""

    operations: int
    steps: int
    losses: list[float]
    features_cached: bool
    stopping: Stopping | None = None


def _in_one_pass(
    cell: Cell, bench: Workbench, task: Task, training: Training, clock: Clock, on_epoch: Callable[[], None]
) -> _Lesson:
    """Learn without gradient steps."""
    operations = OnePass(bench, task.train, training.precision, clock, cell.memory_format).learn()
    with clock.stopped():
        # A method that makes steps in other tasks has epochs in the progress, and they must all be told.
        for _ in range(training.epochs if bench.method.learns_in_steps else 1):
            on_epoch()
    return _Lesson(operations, steps=0, losses=[], features_cached=False)


def _in_steps(
    cell: Cell,
    bench: Workbench,
    number: int,
    task: Task,
    training: Training,
    clock: Clock,
    on_epoch: Callable[[], None],
    checkpoints: Checkpoints | None,
    lasting: Sequence[Tensor],
) -> _Lesson:
    """Learn with an optimiser, in epochs of minibatches.

    Args:
        lasting: other tensors than images that never change.
    """
    method = bench.method

    def generator(purpose: str) -> torch.Generator:
        return torch.Generator().manual_seed(cell.derive(number, purpose))

    def computed_once(data: Samples) -> Features:
        return precompute(bench.network, data, cell.device, training.precision, clock, cell.memory_format)

    data, features = method.training_data(task.train, bench.network), None
    # Augmented images differ in each epoch, so their features cannot be computed once.
    if bench.trains_head_only and not training.augment:
        features = computed_once(data)
    validation, seen = None, None
    if training.recipe.validates:
        seen = computed_once(task.validation) if bench.trains_head_only else None
        validation = Validation(
            bench.network,
            seen.data if seen else task.validation,
            cell.answered(number, len(task.classes)),
            training.precision,
            cell.memory_format,
            clock,
        )
    augment_replay = augmentation(training.augment, generator("augment replay"))
    strategy = Strategy(
        bench=bench,
        task_data=task.train,
        batches=Batches(
            features.data if features else data,
            training.batch_size,
            generator("order"),
            cell.device,
            augmentation(training.augment, generator("augment")),
            training.dry,
            cell.memory_format,
        ),
        training=training,
        device=cell.device,
        clock=clock,
        on_epoch=on_epoch,
        augment_replay=lambda images: laid_out(augment_replay(images), cell.memory_format),
        memory_format=cell.memory_format,
        validation=validation,
        checkpoints=None if training.dry else checkpoints,
        fixed=[cell, data],
        lasting=[*lasting, data.images, data.labels],
        chosen=data.labels is not task.train.labels,
    )
    if training.compiled and features is None:
        compile_network(bench.network)
    strategy.train(SimpleNamespace(current_experience=number - 1, task_label=number - 1), eval_streams=[])
    for _ in range(training.epochs - strategy.epochs_done):
        # Training has stopped early. The progress counts these epochs too, so they are told as done.
        on_epoch()
    operations = strategy.operations + sum(each.operations for each in (features, seen) if each)
    return _Lesson(operations, strategy.steps, strategy.losses, features is not None, strategy.stopping)


def _kept(method: Method, name: str, tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the memory as the method gets it: a copy on the device, unless it stays on the CPU."""
    if name.startswith(method.left_on_cpu):
        return tensor
    # In a simulation, tensors with values stay where they are: a device without data cannot hold the values.
    moves = tensor.ndim and device.type != "meta"
    return tensor.to(device, copy=True) if moves else tensor.clone()


def _memory(method: Method, name: str, tensor: Tensor) -> Tensor:
    """The inverse of `_kept`. What stays on the CPU may be large: it is only copied if it is a part of something."""
    stays = name.startswith(method.left_on_cpu) and not is_gpu(tensor.device) and not tensor.requires_grad
    return tensor if stays and tensor.untyped_storage().nbytes() == tensor.nbytes else detached(tensor)


def _add_heads(cell: Cell, bench: Workbench, state: State, number: int, classes: int) -> int:
    """Add a new head, and the heads of earlier tasks if the method still trains them; or the units of a joint head.

    Returns:
        The number of logits of the new task.
    """
    head = bench.network.heads
    if isinstance(head, JointHead):
        _add_units(cell, bench.method.logits, head, number)
        return head.units
    if bench.head_is_fixed:
        return classes
    widths = {number: classes}
    if bench.method.trains_old_heads:
        widths = {old: head_width(own, str(old)) for old, own in state.tasks.items()} | widths
    for task, width in widths.items():
        torch.manual_seed(cell.derive(task, "head"))
        bench.network.heads.add(str(task), width)
        if task != number and not bench.method.starts_over:
            bench.network.heads.place(state.tasks[task])
    return classes


def _add_units(cell: Cell, logits: Logits, head: JointHead, number: int) -> None:
    """Add the units of the tasks up to this one, or of all tasks if all take part in the loss."""
    known = cell.widths if logits == "all" else cell.widths[:number]
    for task, width in enumerate(known if cell.scenario == "class" else (), 1):
        torch.manual_seed(cell.derive(task, "head"))
        head.add(SHARED, width)
    head.begin(cell.columns(number), logits)


def _shared(bench: Workbench) -> dict[str, Tensor]:
    tensors = bench.take("shared")
    return tensors | bench.take_head(SHARED) if SHARED in bench.network.heads.rows else tensors
