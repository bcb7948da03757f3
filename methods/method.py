"""What a method is: a partition of the network's tensors, and a few hooks of Avalanche's training loop."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from methods.recipe import Range, Recipe

with warnings.catch_warnings():
    # One of Avalanche's dependencies warns of solvers that nothing here uses.
    warnings.filterwarnings("ignore", message="no QP solver found")
    # In a notebook, another one asks for widgets.
    warnings.filterwarnings("ignore", message="IProgress not found")
    from avalanche.core import SupervisedPlugin

if TYPE_CHECKING:
    from benchmark.images.labelled import LabelledImages
    from methods.network import Network
    from methods.options import Spec

#: Where a tensor of the network belongs:
#: "frozen"  as the backbone was given, or derived from the seed; never stored, only referred to;
#: "shared"  used by every task, and later tasks may overwrite it;
#: "task"    belongs to the task being learned; starts at its initial value for every new task.
Part = Literal["frozen", "shared", "task"]

#: What happens to batch normalisation, affine parameters and running statistics alike.
BNPolicy = Literal["shared", "frozen", "per-task"]

BatchNorm = nn.modules.batchnorm._BatchNorm

#: Names in `Method.kept` that begin so hold stored samples; their bytes are reported in a column of their own.
REPLAY = "replay."


class Method(SupervisedPlugin):
    """Base class of every method.

    The constructor's keyword parameters are the method's options; each is stored under its own name. A new instance is
    made for every task and every evaluation, so that nothing but the state crosses from one task to the next: what a
    method wants to keep goes into `kept`.

    The loop is Avalanche's: override `before_training_exp`, `before_backward`, `after_training_exp`, ... In them
    `strategy.model` is the `methods.network.Network`, `strategy.mb_x` and `strategy.mb_y` the minibatch (uint8 images
    [B, 3, S, S] and labels [B]), `strategy.task_data` the task's training images, `strategy.loss` the loss so far.

    Attributes:
        name: the registered name.
        recipe: default optimiser and schedule.
        shared_head: one head as wide as the largest class count for all tasks, instead of a head per task.
        trains_old_heads: the loss of a new task reaches the heads of earlier tasks.
        trains_head_only: the backbone and everything in it are frozen, so that the features of the training images
            are computed once per task and the epochs go over those: `mb_x` is then [B, D], and `forward` is not asked.
            With augmentation the epochs go over images as always.
        isolates_tasks: nothing that a task's answers depend on changes once it is learned. The tests compare this with
            what really happens. If, beyond that, nothing is shared and the method does not continue, tasks are learned
            in parallel, and once for all orders: what is learned must then not depend on the number in `task`.
        continues: a task's own tensors start at those that the task before left, instead of at their initial values.
        starts_over: each task is learned from the backbone as given; what was learned before is replaced.
        bound: it is no method to choose, but shows what could be reached: it is never called the best.
        grows_evenly: from the third task on each adds as much storage and compute as the one before, so that a stream's
            cost can be known from its first tasks.
        search: option, its own or the recipe's -> the values that `tune` tries: a Range, or a tuple of values.
        kept: what the method keeps so as to go on learning, the state's memory part: name -> tensor, on the training
            device while a task is learned (scalars stay on the CPU). Stored, counted and restored because it is here.
        task: the number of the task being learned or evaluated, from 1.
        generator: the method's own random numbers, on the CPU, seeded by the run's seed and the task's name: they are
            the same wherever the task stands in the stream.
    """

    name: ClassVar[str]
    recipe: ClassVar[Recipe] = Recipe()
    shared_head: ClassVar[bool] = False
    trains_old_heads: ClassVar[bool] = False
    trains_head_only: ClassVar[bool] = False
    isolates_tasks: ClassVar[bool] = False
    continues: ClassVar[bool] = False
    starts_over: ClassVar[bool] = False
    bound: ClassVar[bool] = False
    grows_evenly: ClassVar[bool] = True
    search: ClassVar[Mapping[str, Range | tuple[Any, ...]]] = {"lr": Range(1e-3, 0.3)}

    kept: dict[str, Tensor]
    task: int
    generator: torch.Generator

    @classmethod
    def specialised(cls, spec: Spec) -> type[Method]:
        """The class that a specification means: this one, unless which options there are depends on what it says."""
        return cls

    def adapt(self, network: Network) -> None:
        """Add the method's own modules to the backbone.

        Torch's random state is the same for all tasks of a seed here, that of `generator` the task's own: the result
        must depend on nothing else but the network and `task`.
        """

    def part(self, module: nn.Module, name: str) -> Part:
        """The part to which the tensor `name` of `module` belongs, asked for each tensor of the backbone."""
        raise NotImplementedError(f"{type(self).__name__} does not say where {name} belongs")

    def trains(self, module: nn.Module, name: str) -> bool:
        """Whether this task may change a tensor that is not frozen; of batch normalisation, its statistics too."""
        return True

    def training_data(self, data: LabelledImages, network: Network) -> LabelledImages:
        """What the epochs go over: the task's training images, unless a method trains on more."""
        return data

    def forward(self, strategy: Any) -> Tensor:
        """The minibatch's logits [B, classes], from which its loss is computed."""
        return strategy.model(strategy.mb_x)

    def stored(self, network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The form in which tensors of the shared part or of a task are stored, under the same names.

        Args:
            network: from which they were taken.
            tensors: copies of their values, on the CPU.
        """
        return tensors

    def restored(self, network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The inverse of `stored`: the values to put into the network."""
        return tensors
