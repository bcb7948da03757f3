"""A method on the tiny tasks. It learns them once for all checks."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from benchmark.backbones.base import Backbone
from benchmark.checks.tiny import TINY, Backbones, three_tasks, tiny_network
from benchmark.learning.learner import Cell, LearnedTask, learn, start
from benchmark.learning.training import Training
from benchmark.planning.scenarios import learned_as
from benchmark.planning.usable import refusal
from benchmark.storage.state import State
from benchmark.streams.base import Stream, Task
from methods import methods
from methods.configured import ConfiguredMethod
from methods.heads import placeless
from methods.method import Method
from methods.network import Network
from methods.options import Spec, option_values
from methods.scenarios import Scenario

CPU = torch.device("cpu")

# Height and width of images for a backbone that takes any: as those of the streams `mini`.
_SIZE = 32


@dataclass
class MethodSubject:
    """A method to check.

    Attributes:
        method: the method with its options.
        tasks: three tasks; tiny ones if none are given.
        scenario: who knows the task of an image; where the method has no answer there, another one that it has.
        backbones: the network to use, and one like it with layers to spare; the first of the tiny ones that the method
            does not refuse, if none are given.
        backbone: a network to use in their place, with images of 32x32 or of its own size.
        live: the network that learned the last task.
    """

    method: ConfiguredMethod
    tasks: tuple[Task, ...] = ()
    scenario: Scenario = "task"
    live: Network | None = None
    backbones: Backbones = ()
    backbone: Backbone | None = None

    def __post_init__(self) -> None:
        self.scenario = learned_as(self.scenario, self.method)
        self.tasks = self.tasks or self.fresh_tasks()

    @property
    def size(self) -> int:
        """Height and width of the images."""
        return self.backbone.image_size or _SIZE if self.backbone else 8

    def fresh_tasks(self) -> tuple[Task, ...]:
        """Return three tasks that nothing has touched."""
        return three_tasks(self.scenario, self.size)

    def network(self, *, spare: bool = False) -> Network:
        """Return the network, or a tiny one that the method works on.

        Args:
            spare: with layers that the forward pass does not use, if it is a tiny one.
        """
        if self.backbone:
            return self.backbone.network()
        return tiny_network((self.backbones or self._suitable)[spare])

    @cached_property
    def _suitable(self) -> Backbones:
        """The first of the tiny backbones that the method does not refuse."""
        suits = (tiny for tiny in TINY if refusal(tiny_network(tiny[0]).to("meta"), self.method, self.scenario) is None)
        return next(suits, TINY[0])

    @property
    def spec(self) -> Spec:
        return self.method.spec

    @property
    def cls(self) -> type[Method]:
        return self.method.cls

    @property
    def foreign(self) -> bool:
        """Whether the class was made for the specification, so that its documentation is that of another class."""
        return self.cls is not methods.get(self.spec.name)

    def values(self) -> dict[str, object]:
        return option_values(self.method.make())

    def make(self) -> Method:
        """Return a fresh instance that saves its network in `live` when its tensors are stored."""
        made = self.method.make()
        original = made.stored

        def stored(network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            self.live = network
            return original(network, tensors)

        made.stored = stored  # type: ignore[method-assign]
        return made

    def cell(
        self, seed: int = 0, network: Network | None = None, tasks: Sequence[Task] = (), device: torch.device = CPU
    ) -> Cell:
        """Return a cell of the method on the tiny network."""
        network = copy.deepcopy(network or self.network()).to(device)
        stream = Stream("tiny", tuple(tasks or self.tasks))
        make, most = self.make, stream.most_classes
        return Cell(network, make, most, seed, device, stream.names, scenario=self.scenario, widths=stream.widths)

    def training(self, **changes: Any) -> Training:
        """Return a training of two epochs in batches of 8, with the method's recipe."""
        return replace(Training(self.method.recipe, epochs=2, batch_size=8), **changes)

    def fold(self, cell: Cell, tasks: Sequence[Task], **changes: Any) -> list[LearnedTask]:
        """Learn tasks one after the other, from the start."""
        state, found = start(cell), []
        for task in tasks:
            found.append(learn(cell, state, task, self.training(**changes)))
            state = found[-1].state
        return found

    @cached_property
    def learned(self) -> list[LearnedTask]:
        """The results of the three tasks, learned without interruption."""
        return self.fold(self.cell(), self.tasks)

    @cached_property
    def states(self) -> list[State]:
        """The states before the first task and after each task."""
        return [start(self.cell()), *(learned.state for learned in self.learned)]


def flat(state: State) -> dict[str, Tensor]:
    """Return all tensors of a state, by part and name."""
    return {f"{stem}/{name}": tensor for stem, part in state.parts() for name, tensor in part.items()}


def file_of(state: State, task: int) -> dict[str, Tensor]:
    """Return the tensors of a task, named as in its file."""
    return placeless(state.tasks[task], str(task))
