"""What a method is: a partition of the network's tensors, and a few hooks of Avalanche's training loop."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from methods.data import Samples
from methods.kept import Kept
from methods.own import TasksOwn
from methods.recipe import Range, Recipe
from methods.scenarios import Logits, Scenario
from methods.step import Step

with warnings.catch_warnings():
    # One of Avalanche's dependencies warns about solvers that are not used here.
    warnings.filterwarnings("ignore", message="no QP solver found")
    # Another one asks for widgets in a notebook.
    warnings.filterwarnings("ignore", message="IProgress not found")
    from avalanche.core import SupervisedPlugin

if TYPE_CHECKING:
    from methods.network import Network
    from methods.options import Spec

#: Where a tensor of the network belongs:
#: "frozen"  as the backbone was given, or derived from the seed; never stored, only referred to;
#: "shared"  used by every task, and later tasks may overwrite it;
#: "task"    belongs to the task being learned; starts at its initial value, unless `Method.starts_at` says otherwise.
Part = Literal["frozen", "shared", "task"]

#: Where a tensor of the part "task" starts in every task after the first:
#: "initial"     at its initial value, as in the first task;
#: "first-task"  where the first task left it;
#: "last-task"   where the task before left it.
Start = Literal["initial", "first-task", "last-task"]

#: What happens to batch normalisation: to both its affine parameters and its running statistics.
BNPolicy = Literal["shared", "frozen", "per-task"]

BatchNorm = nn.modules.batchnorm._BatchNorm

#: Names in `Method.kept` with this beginning hold stored samples; their bytes have their own column.
REPLAY = "replay."


class Method(SupervisedPlugin):
    """Base class of every method.

    The constructor's keyword parameters are the method's options; each is stored under its own name. A new instance is
    made for every task and every evaluation, so only the state goes from one task to the next: put what a method wants
    to keep into `kept`.

    A method says which part each tensor belongs to (`part`), and overrides the hooks that it needs. The loop and the
    names of the hooks are Avalanche's. Each hook gets the present `Step` of the task. All hooks run in train mode
    (except batch normalisation whose statistics do not change: it is in evaluation mode) and with autograd on: write
    `@torch.no_grad()` above a hook that does not need it. Each hook says how its operations are counted.

    **Tensors without values.** `cost`, `methods NAME`, `--equal-memory` and `--equal-compute` run the same code on the
    device "meta", for its shapes and operations: all tensors of the step are on it, `task_data` included. So make new
    tensors on the device of existing ones (`torch.zeros_like(x)`), and avoid code that reads a value (`float(x)`, `if x
    > 0`, `x[mask]`, `x.nonzero()`), or skip it if `x.is_meta`.

    Attributes:
        name: the registered name.
        learns_in_steps: whether it makes gradient steps. If not, the task has no epochs and no optimiser: it learns in
            `before_training_exp` and `after_training_exp`, from `step.task_features()` or `step.task_data`, and writes
            the weights of heads with `step.model.heads.assign`. Beside these the step has `model` and `device`. No
            other hook of the training is called, the recipe's options are refused, and `search` must not name them. A
            method that makes steps in some tasks only says True here, and in `trains_task` in which.
        recipe: default optimiser and schedule.
        search: option (the method's or the recipe's) -> the values that `tune` tries: a Range, or a tuple of values.
        shared_head: one head as wide as the largest class count for all tasks, instead of a head per task.
        trains_old_heads: the loss of a new task reaches the heads of earlier tasks: the network has all of them.
        isolates_tasks: nothing that a task's answers depend on changes once it is learned. It speaks of the scenario
            "task": where one head answers for all tasks, it counts for nothing. The tests compare this with what
            really happens. If, beyond that, nothing is shared or kept and all tensors of a task start at their initial
            values, tasks are learned in parallel, and once for all orders: what is learned must then not depend on the
            number in `task`.
        continues: all tensors of a task start where the task before left them, instead of at their initial values;
            if only some of them do, `starts_at` says which.
        starts_over: each task is learned from the backbone as given; what was learned before is replaced.
        any_layout: the class's own code works however the values of weights and gradients lie in memory: it uses
            `flatten()` or `reshape(...)` of them, not `view(...)` or torch's `parameters_to_vector`, which want
            contiguous tensors. Then convolutions are faster on a GPU, where their weights lie as the images do. A
            derived class has to say it again.
        scenarios: the scenarios in which it has an answer of its own. In "class" and "domain" there is one head for all
            tasks, which is shared, and no tensor belongs to a task; labels are columns of its logits. `heads.own` and
            its other functions do what is right in each scenario.
        bound: it is no method to choose, but shows what could be reached: it is never called the best.
        grows_evenly: from the third task on each adds as much storage and compute as the one before, so that a stream's
            cost can be known from its first tasks.
        scenario: the run's.
        logits: which logits take part in the loss of a training image in the scenario "class"; see methods.scenarios.
        task: the number of the task being learned or evaluated, from 1. Where one head answers for all tasks, nobody
            tells the task of an image: then it is the number of tasks learned so far.
        generator: the method's own random numbers, on the CPU, seeded by the run's seed and the task's name: they are
            the same at any position of the task in the stream.
        left_on_cpu: beginnings of names in `kept` whose tensors stay on the CPU while a task is learned, because they
            may be large and a step needs little of them.
        task_was_read: whether `task` or `generator` was read; the harness sets it back.
    """

    name: ClassVar[str]
    learns_in_steps: ClassVar[bool] = True
    recipe: ClassVar[Recipe] = Recipe()
    search: ClassVar[Mapping[str, Range | tuple[Any, ...]]] = {"lr": Range(1e-3, 0.3)}
    shared_head: ClassVar[bool] = False
    trains_old_heads: ClassVar[bool] = False
    isolates_tasks: ClassVar[bool] = False
    continues: ClassVar[bool] = False
    starts_over: ClassVar[bool] = False
    any_layout: ClassVar[bool] = False
    scenarios: ClassVar[tuple[Scenario, ...]] = ("task",)
    bound: ClassVar[bool] = False
    grows_evenly: ClassVar[bool] = True

    task: TasksOwn[int] = TasksOwn()
    generator: TasksOwn[torch.Generator] = TasksOwn()
    scenario: Scenario = "task"
    logits: Logits = "seen"
    left_on_cpu: tuple[str, ...] = ()
    task_was_read: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # A derived class has code of its own, and says it again.
        cls.any_layout = vars(cls).get("any_layout", False)

    @property
    def kept(self) -> dict[str, Tensor]:
        """What the method keeps for learning later tasks: name -> tensor, the state's memory part.

        Everything in it is stored, counted and restored. Names that begin with "replay." count as stored samples. While
        a task is learned the tensors are on the training device. Scalars are on the CPU, and so is what `left_on_cpu`
        names: that is the state's own, and must not be written into. A value that is not a tensor is refused with a
        TypeError. It is available from `training_data` to `stored`, but not when a task only answers.
        """
        return self._kept

    @kept.setter
    def kept(self, tensors: Mapping[str, Tensor]) -> None:
        self._kept = Kept(getattr(self, "name", type(self).__name__), tensors)

    @classmethod
    def specialised(cls, spec: Spec) -> type[Method]:
        """The class that a specification means: this one, unless the specification decides which options exist."""
        return cls

    # The network: these run before a task is learned and before a task answers. They are not counted.

    def adapt(self, network: Network) -> None:
        """Add the method's own modules to the backbone.

        Torch's random state is the same here for all tasks of a seed; the state of `generator` is the task's own. The
        result must depend only on these, the network and `task`.
        """

    def switch_task(self, network: Network) -> None:
        """Change a network that answered for another task into what `adapt` makes for `task`.

        Evaluations keep one network and put the tensors of one task after the other into it. That is safe where `adapt`
        and `part` read neither `task` nor `generator`, and `restored` is not overridden. Any other method gets a new
        network for each evaluation, unless it has this: then the harness calls this instead of `adapt`, and puts the
        values of `restored` into the network. So only what else depends on the task must be changed here. Modules and
        shapes, and the operations for an image, must be the same for all tasks, and `restored` must not use the values
        that it replaces. Where `adapt` or `restored` is overridden again, this does not count.
        """

    def part(self, module: nn.Module, name: str) -> Part:
        """The part to which the tensor `name` of `module` belongs; called for each tensor of the backbone.

        If all are "frozen" and the method fills no hook of a step (nor `forward`), the features of the training images
        are computed once per task and the epochs go over them, unless images are augmented.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say where {name} belongs")

    def starts_at(self, module: nn.Module, name: str) -> Start:
        """Where a tensor of the part "task" starts in every task after the first; called for each of these tensors.

        What belongs together should start together: where the shared weights are no longer those of the backbone, batch
        normalisation that fits them is that of an earlier task. Heads always start at their initial values.
        """
        return "last-task" if self.continues else "initial"

    def trains(self, module: nn.Module, name: str) -> bool:
        """Whether this task trains a tensor that is not frozen; for batch normalisation, its statistics too.

        If not, the optimiser does not have it, and only the method's own hooks may change it.
        """
        return True

    def stored(self, network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The form in which tensors of the shared part or of a task's part are stored, under the same names.

        Args:
            network: the network of these tensors.
            tensors: copies of their values, on the CPU.
        """
        return tensors

    def restored(self, network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The inverse of `stored`: the values to put into the network."""
        return tensors

    def lr_scale(self, name: str) -> float:
        """What the recipe's learning rate is multiplied by for a parameter that is trained; above 0.

        The schedule multiplies the product. Called before a task's training, when `task` and `kept` are known.

        Args:
            name: of the parameter, as in `Network.named_parameters()`. Those of heads begin with "heads.", see
                methods.heads.is_head.
        """
        return 1.0

    # The training, in the order in which things happen.

    def trains_task(self) -> bool:
        """Whether the present `task` is learned in gradient steps, if any is: see `learns_in_steps`."""
        return self.learns_in_steps

    def may_end(self, epoch: int, epochs: int) -> bool:
        """Whether a task may end after this epoch, and its weights be kept; asked where the recipe stops early.

        A method with stages says False until the last one has begun: epochs before that are not compared. After the
        last epoch a task may always end.

        Args:
            epoch: its number, from 1.
            epochs: how many there are at most.
        """
        return True

    def training_data(self, data: Samples, network: Network) -> Samples:
        """The images that the epochs go over: the task's training images, unless the method trains on others.

        Called once, before the first hook. Not counted.
        """
        return data

    def before_training_exp(self, step: Step, /) -> None:
        """Once, before the first epoch: `kept` and the network are as the previous task left them. Counted exactly."""

    def before_training_epoch(self, step: Step, /) -> None:
        """Before each epoch. Not counted. Only here may a method change what is trained (`requires_grad_`)."""

    def before_training_iteration(self, step: Step, /) -> None:
        """Before each step, when the minibatch is available.

        This hook and all of a step are counted in the first step of each epoch, and again where other tensors are
        trained, or more or fewer images pass through the network: other work must be the same in all steps of an epoch.
        """

    def before_forward(self, step: Step, /) -> None:
        """Before `forward`. From here to `before_backward` passes have the run's precision. Counted as a step's."""

    def forward(self, step: Step) -> Tensor:
        """The minibatch's logits [B, classes], from which its cross entropy is computed. Counted as a step's.

        It is for training only: a task answers with the network. What must also act on an answer is a module put into
        the network by `adapt`, with its values in buffers.
        """
        logits: Tensor = step.model(step.images)
        return logits

    def after_forward(self, step: Step, /) -> None:
        """After `forward`: `step.logits` exists, the loss does not yet. Counted as a step's."""

    def before_backward(self, step: Step, /) -> None:
        """When `step.loss` exists: add to it here (`step.loss += ...`). Counted as a step's."""

    def after_backward(self, step: Step, /) -> None:
        """When the parameters have gradients: change them here, in place. Counted as a step's."""

    def before_update(self, step: Step, /) -> None:
        """After `after_backward`; the gradient is limited next (the recipe's `clip`). Counted as a step's."""

    def after_update(self, step: Step, /) -> None:
        """After the optimiser's step: correct weights here, without autograd. Counted as a step's."""

    def after_training_iteration(self, step: Step, /) -> None:
        """At the end of each step. Counted as a step's."""

    def after_training_epoch(self, step: Step, /) -> None:
        """After each epoch. Not counted."""

    def after_training_exp(self, step: Step, /) -> None:
        """Once, after the last epoch: fill `kept` here. Still in train mode. Counted exactly."""


#: The hooks of a step, in their order.
STEP_HOOKS = (
    *("before_training_iteration", "before_forward", "after_forward", "before_backward"),
    *("after_backward", "before_update", "after_update", "after_training_iteration"),
)

# The bodies of hooks that do nothing.
_EMPTY = frozenset(getattr(cls, name) for cls in (SupervisedPlugin, Method) for name in STEP_HOOKS)


def fills(plugin: object, hook: str) -> bool:
    """Whether an Avalanche plugin (a method is one) does anything at a hook of a step."""
    return hasattr(plugin, hook) and getattr(type(plugin), hook, None) not in _EMPTY
