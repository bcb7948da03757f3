"""A kept network answers like a new one, bit for bit, whatever a method does; else a new one is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from baselines.packnet import PackNet
from baselines.psp import PSP
from baselines.sgd import SGD
from baselines.shared.finetuning import FineTuning
from benchmark.checks.tiny import three_tasks
from benchmark.learning import answering as module
from benchmark.learning.answering import Answering
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods import Method, Network, Part, methods
from methods.configured import configure

CPU = torch.device("cpu")


def values_of(network: Network) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, _, tensor in network.tensors()}


class Lucky(Method):
    """A factor of the features that nobody trains or stores: `adapt` makes it from the task, or draws it."""

    drawn = False
    isolates_tasks = True

    def adapt(self, network: Network) -> None:
        factor = torch.rand((), generator=self.generator) if self.drawn else torch.tensor(float(self.task))
        network.backbone.register_buffer("factor", factor, persistent=False)
        network.backbone.register_forward_hook(lambda backbone, inputs, features: features * backbone.factor)

    def part(self, module: nn.Module, name: str) -> Part:
        return "task"


class Drawn(Lucky):
    drawn = True


class Sparse(Method):
    """Stores what differs from the backbone as given, and adds it to what it finds in the network."""

    def adapt(self, network: Network) -> None:
        self.given = {name: tensor.detach().clone().cpu() for name, _, tensor in network.tensors()}

    def part(self, module: nn.Module, name: str) -> Part:
        return "task"

    def stored(self, network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor - self.given[name] for name, tensor in tensors.items()}

    def restored(self, network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        live = values_of(network)
        return {name: live[name] + tensor if name in live else tensor for name, tensor in tensors.items()}


class Forgetful(FineTuning):
    """Stores the biases and scales of its first task only; later tasks use those of the backbone."""

    def __init__(self) -> None:
        super().__init__(bn="per-task")

    def stored(self, network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor for name, tensor in tensors.items() if self.task == 1 or tensor.ndim > 1}


class Subclassed(PackNet):
    """Its own `adapt` asks for the task, so the `switch_task` that it inherits does not know all."""

    drawn = False

    def adapt(self, network: Network) -> None:
        super().adapt(network)
        Lucky.adapt(self, network)


class Unfinished(PSP):
    """Its own `restored` uses what is in the network."""

    def restored(self, network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        live, values = values_of(network), super().restored(network, tensors)
        return {name: value + 0.25 * live[name] if name in live else value for name, value in values.items()}


class Counting(FineTuning):
    """Its statistics move with each batch that it answers, and nothing stores them."""

    def adapt(self, network: Network) -> None:
        network.backbone.register_buffer("seen", torch.zeros(()), persistent=False)
        network.backbone.register_forward_hook(_count)


def _count(backbone: nn.Module, inputs: tuple[Tensor], features: Tensor) -> Tensor:
    backbone.seen += 1
    return features * backbone.seen


class Replacing(Counting):
    """As Counting, but the tensor is replaced."""

    def adapt(self, network: Network) -> None:
        network.backbone.register_buffer("seen", torch.zeros(()), persistent=False)
        network.backbone.register_forward_hook(_replace)


def _replace(backbone: nn.Module, inputs: tuple[Tensor], features: Tensor) -> Tensor:
    backbone.seen = backbone.seen + 1
    return features * backbone.seen


class Overlapping(FineTuning):
    """Its tasks put values of their own into the shared tensors."""

    def restored(self, network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        if any(name.startswith("heads") for name in tensors):
            first = next(name for name, _, _ in network.tensors())
            return tensors | {first: torch.full_like(values_of(network)[first], float(self.task))}
        return tensors

    def switch_task(self, network: Network) -> None:
        pass


def states_of(cell: Cell, tasks: tuple[Task, ...]) -> list[State]:
    found = [start(cell)]
    for task in tasks:
        found.append(learn(cell, found[-1], task, Training(SGD.recipe, epochs=1, batch_size=8)).state)
    return found[1:]


def visits(states: list[State]) -> Iterator[tuple[State, int]]:
    """As evaluations go, and then back and forth."""
    for state in states:
        yield from ((state, number) for number in range(1, state.learned + 1))
    yield from ((states[2], 1), (states[0], 1), (states[1], 2), (states[2], 2), (states[2], 2))


@torch.inference_mode()
def logits_of(network: Network, task: Task) -> Tensor:
    # Twice, as several batches: what a pass changes must not reach the next evaluation.
    network(task.test.images)
    return network(task.test.images)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tasks for which a network was made."""
    found: list[int] = []
    prepare = module.prepare

    def note(cell: Cell, task: int) -> object:
        found.append(task)
        return prepare(cell, task)

    monkeypatch.setattr(module, "prepare", note)
    return found


@pytest.mark.parametrize(
    "method",
    [Lucky, Drawn, Sparse, Forgetful, Subclassed, Unfinished, Counting, Replacing, Overlapping],
)
def test_whatever_a_method_does_the_answers_are_those_of_a_new_network(
    method: type[Method], tiny_network: Network, tiny_tasks: tuple[Task, ...]
) -> None:
    cell = Cell(tiny_network, method, 4, 0, CPU)
    states = states_of(cell, tiny_tasks)
    kept = Answering(cell)
    for state, number in visits(states):
        task = tiny_tasks[number - 1]
        expected = logits_of(network_for(cell, state, number, len(task.classes)), task)
        assert torch.equal(logits_of(kept.network(state, number, len(task.classes)), task), expected)


SPECIFICATIONS = (
    *methods.members("all"),
    *("hat:bn=frozen", "psp:contexts=stored", "psp:bn=shared", "packnet:bn=per-task", "supsup:init=pretrained"),
    *("eft:anchor=pretrained", "ccll:anchor=pretrained", "residual-adapters:form=parallel", "conv-lora:bn=per-task"),
)


@pytest.mark.parametrize("spec", SPECIFICATIONS)
def test_each_method_of_this_project_needs_one_network(
    spec: str, tiny_network: Network, tiny_tasks: tuple[Task, ...], made: list[int]
) -> None:
    cell = Cell(tiny_network, configure(spec).make, 4, 0, CPU)
    states = states_of(cell, tiny_tasks)
    kept, expected = Answering(cell), []
    networks = []
    for state, number in visits(states):
        task = tiny_tasks[number - 1]
        networks.append(kept.network(state, number, len(task.classes)))
        expected.append((logits_of(networks[-1], task), state, number))
    assert made == [1]
    assert all(network is networks[0] for network in networks)
    for logits, state, number in expected:
        task = tiny_tasks[number - 1]
        assert torch.equal(logits, logits_of(network_for(cell, state, number, len(task.classes)), task))


def test_shared_tensors_are_placed_once_for_all_tasks(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = make_cell("sgd")
    *_, state = states_of(cell, tiny_tasks)
    placed: list[set[str]] = []
    place = Network.place

    def note(network: Network, tensors: dict[str, Tensor]) -> None:
        placed.append(set(tensors))
        place(network, tensors)

    monkeypatch.setattr(Network, "place", note)
    kept = Answering(cell)
    for number in (1, 2, 3):
        kept.network(state, number, len(tiny_tasks[number - 1].classes))
    heads = [{f"heads.{number}.weight", f"heads.{number}.bias"} for number in (1, 2, 3)]
    assert placed == [set(state.shared), *heads]


def test_operations_are_counted_once_for_each_form(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = make_cell("sgd")
    *_, state = states_of(cell, tiny_tasks)
    counted: list[tuple[int, int]] = []

    def count(network: Network, classes: int, image_size: int) -> int:
        counted.append((classes, image_size))
        return 100 * classes + image_size

    monkeypatch.setattr(module, "inference_operations_per_image", count)
    kept = Answering(cell)
    found = [kept.operations(state, number, classes, 8) for number, classes in ((1, 3), (2, 2), (3, 4), (1, 3), (3, 4))]
    assert found == [308, 208, 408, 308, 408]
    assert kept.operations(state, 1, 3, 16) == 316
    assert counted == [(3, 8), (2, 8), (4, 8), (3, 16)]


def test_operations_that_depend_on_the_task_are_counted_each_time(
    tiny_network: Network, tiny_tasks: tuple[Task, ...]
) -> None:
    class Growing(FineTuning):
        """A convolution more for each task."""

        def adapt(self, network: Network) -> None:
            for _ in range(self.task):
                network.backbone.insert(0, nn.Conv2d(3, 3, 1, bias=False))

        def part(self, module: nn.Module, name: str) -> Part:
            return "task"

    cell = Cell(tiny_network, Growing, 4, 0, CPU)
    one, two = states_of(cell, (tiny_tasks[0], replace(tiny_tasks[0], name="again")))
    kept = Answering(cell)
    first, second = kept.operations(one, 1, 3, 8), kept.operations(two, 2, 3, 8)
    assert second - first == 2 * 3 * 3 * 64, "a 1x1 convolution of three channels at 8x8"
    assert kept.operations(two, 1, 3, 8) == first


def test_where_nobody_tells_the_task_a_method_knows_how_many_were_learned(make_cell: Callable[..., Cell]) -> None:
    """The network is the same for each task, whatever `adapt` makes of the number, and it is made once."""
    asked: list[int] = []

    class Curious(SGD):
        scenarios = ("class",)

        def adapt(self, network: Network) -> None:
            asked.append(self.task)

    tasks = three_tasks("class")
    cell = replace(make_cell("sgd"), make_method=Curious, scenario="class", widths=(3, 2, 4))
    states = states_of(cell, tasks)
    asked.clear()
    for state in states:
        kept = Answering(cell)
        networks = {
            kept.network(state, number, len(tasks[number - 1].classes)) for number in range(1, state.learned + 1)
        }
        assert len(networks) == 1
    assert asked == [1, 2, 3]
