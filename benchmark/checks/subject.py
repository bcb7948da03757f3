"""A method on the tiny tasks: what it learns there is learned once for all checks."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from benchmark.checks.tiny import three_tasks, tiny_network
from benchmark.learning.learner import Cell, Learned, learn, start
from benchmark.learning.training import Training
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods import methods
from methods.configured import ConfiguredMethod
from methods.heads import placeless
from methods.method import Method
from methods.network import Network
from methods.options import Spec, option_values

CPU = torch.device("cpu")


@dataclass
class MethodSubject:
    """A method that is checked.

    Attributes:
        method: with its options.
        tasks: three.
        live: the network with which the last task was learned.
    """

    method: ConfiguredMethod
    tasks: tuple[Task, ...] = field(default_factory=three_tasks)
    live: Network | None = None

    @property
    def spec(self) -> Spec:
        return self.method.spec

    @property
    def cls(self) -> type[Method]:
        return self.method.cls

    @property
    def foreign(self) -> bool:
        """Of what was made for the specification, the documentation is that of what it stands for."""
        return self.cls is not methods.get(self.spec.name)

    def values(self) -> dict[str, object]:
        return option_values(self.method.make())

    def make(self) -> Method:
        """A fresh instance, whose network is remembered when it is taken apart."""
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
        """The method on the tiny network."""
        network = copy.deepcopy(network or tiny_network()).to(device)
        names = tuple(task.name for task in tasks or self.tasks)
        return Cell(network, self.make, 4, seed, device, names)

    def training(self, **changes: Any) -> Training:
        """Two epochs in batches of 8, by the method's recipe."""
        return replace(Training(self.method.recipe, epochs=2, batch_size=8), **changes)

    def fold(self, cell: Cell, tasks: Sequence[Task], **changes: Any) -> list[Learned]:
        """Tasks learned one after the other, from the start."""
        state, found = start(cell), []
        for task in tasks:
            found.append(learn(cell, state, task, self.training(**changes)))
            state = found[-1].state
        return found

    @cached_property
    def learned(self) -> list[Learned]:
        """The three tasks, without interruption."""
        return self.fold(self.cell(), self.tasks)

    @cached_property
    def states(self) -> list[State]:
        """Before the first task, and after each."""
        return [start(self.cell()), *(learned.state for learned in self.learned)]


def flat(state: State) -> dict[str, Tensor]:
    """All tensors of a state, by part and name."""
    return {f"{stem}/{name}": tensor for stem, part in state.parts() for name, tensor in part.items()}


def file_of(state: State, task: int) -> dict[str, Tensor]:
    """The tensors of a task as its file has them."""
    return placeless(state.tasks[task], str(task))
