"""Where the tensors of a later task start, against what earlier tasks left and the backbone as given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from baselines.psp import Context
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell, is_independent, learn, prepare
from benchmark.learning.strategy import Strategy
from benchmark.learning.training import Training
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods import BatchNorm, Method, Part, Recipe, Start
from methods.network import Network

#: Methods that train weights of all tasks, with batch normalisation of each task's own.
CONTINUING = (
    *("sgd:bn=per-task", "ewc:bn=per-task", "online-ewc:bn=per-task", "si:bn=per-task", "psp", "psp:contexts=stored"),
    *("packnet:bn=per-task", "hat"),
)
NORMS = [f"backbone.{i}.{name}" for i in (1, 4) for name in ("weight", "bias", "running_mean", "running_var")]
IMAGES = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@dataclass(frozen=True)
class Begun:
    """What the training of a task began with.

    Attributes:
        tensors: those of the backbone, by name.
        features: of `IMAGES`, in evaluation mode.
    """

    tensors: dict[str, Tensor]
    features: Tensor

    @property
    def norms(self) -> dict[str, Tensor]:
        """The tensors of the two batch normalisations of the tiny backbone."""
        return {name: self.tensors[name] for name in NORMS}


def features(network: Network) -> Tensor:
    with torch.no_grad():
        return network.eval().features(IMAGES)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Begun]:
    """What the training of each task of the test began with."""
    found: list[Begun] = []
    begin = Strategy._before_training_exp

    def record(self: Strategy, **kwargs: object) -> None:
        tensors = {name: tensor.detach().clone() for name, _, tensor in self.model.tensors()}
        found.append(Begun(tensors, features(self.model)))
        self.model.train()
        begin(self, **kwargs)

    monkeypatch.setattr(Strategy, "_before_training_exp", record)
    return found


def given(cell: Cell) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, _, tensor in cell.pristine.tensors()}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize("spec", CONTINUING)
def test_batch_normalisation_starts_where_the_last_task_left_it(
    spec: str,
    begun: list[Begun],
    make_cell: Callable[..., Cell],
    tiny_tasks: tuple[Task, ...],
    states: Callable[..., list[State]],
) -> None:
    """As the weights that it belongs to."""
    cell = make_cell(spec)
    learned = states(cell, tiny_tasks)
    assert_same(begun[0].norms, given(cell))
    assert_same(begun[1].norms, learned[0].tasks[1])
    assert_same(begun[2].norms, learned[1].tasks[2])
    for number in (1, 2):
        assert not any(torch.equal(learned[-1].tasks[number][name], given(cell)[name]) for name in NORMS)


@pytest.mark.parametrize("spec", ["sgd", "psp", "psp:contexts=stored"])
def test_own_batch_normalisation_is_learned_as_shared_one(
    spec: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], states: Callable[..., list[State]]
) -> None:
    """Bit for bit: bn=per-task only keeps what bn=shared lets later tasks overwrite."""
    own, shared = (states(make_cell(spec, bn=bn), tiny_tasks) for bn in ("per-task", "shared"))
    for number, (kept, overwritten) in enumerate(zip(own, shared, strict=True), 1):
        assert kept.tasks[number].keys() > overwritten.tasks[number].keys()
        assert_same(kept.shared | kept.tasks[number], overwritten.shared | overwritten.tasks[number])
    assert not any(torch.equal(own[-1].tasks[1][name], shared[-1].shared[name]) for name in NORMS)


def test_contexts_are_those_of_the_new_task(
    begun: list[Begun], make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], states: Callable[..., list[State]]
) -> None:
    """Stored contexts belong to the task too, but no task goes on with those of another."""
    cell = make_cell("psp:contexts=stored")
    states(cell, tiny_tasks)
    for number, one in enumerate(begun, 1):
        modules = prepare(cell, number).network.named_modules()
        drawn = {f"{name}.signs": module.signs for name, module in modules if isinstance(module, Context)}
        assert len(drawn) == 2
        assert_same(drawn, one.tensors)


def test_gates_of_hat_start_anew(
    begun: list[Begun], make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], states: Callable[..., list[State]]
) -> None:
    learned = states(make_cell("hat"), tiny_tasks[:2])
    for name in ("backbone.1.hat.embedding", "backbone.4.hat.embedding"):
        embedding, left = begun[1].tensors[name], learned[0].tasks[1][name]
        assert not torch.isin(embedding, torch.cat([left, begun[0].tensors[name]])).any()
        assert embedding.min() >= 0
        assert embedding.max() <= 2


@pytest.mark.parametrize(("spec", "number"), [("ccll", 1), ("eft", 2)])
def test_a_later_task_starts_as_the_network_of_another(
    spec: str,
    number: int,
    begun: list[Begun],
    make_cell: Callable[..., Cell],
    tiny_tasks: tuple[Task, ...],
    states: Callable[..., list[State]],
) -> None:
    """The fixed backbone of `ccll` is the network of the first task, with all that belongs to it: the same answers."""
    cell = make_cell(spec)
    learned = states(cell, tiny_tasks)
    expected = [features(network_for(cell, learned[-1], task, classes)) for task, classes in ((1, 3), (2, 2))]
    assert torch.equal(begun[0].features, features(cell.pristine))
    assert torch.equal(begun[1].features, expected[0])
    assert torch.equal(begun[2].features, expected[number - 1])
    assert not torch.equal(*expected)


@pytest.mark.parametrize(
    "spec", ["ccll:anchor=pretrained", "clr", "bn-only", "piggyback", "residual-adapters", "single-task"]
)
def test_on_the_backbone_as_given_each_task_starts_anew(
    spec: str,
    begun: list[Begun],
    make_cell: Callable[..., Cell],
    tiny_tasks: tuple[Task, ...],
    states: Callable[..., list[State]],
) -> None:
    """So tasks can be learned alone: what is learned of the third is the same without the first two."""
    cell = make_cell(spec)
    assert is_independent(cell)
    learned = states(cell, tiny_tasks)
    assert_same(begun[1].tensors, begun[0].tensors)
    assert_same(begun[2].tensors, begun[0].tensors)
    alone = learn(cell, State(2, {}), tiny_tasks[2], Training(cell.make_method().recipe, epochs=1, batch_size=8))
    assert_same(alone.state.tasks[3], learned[-1].tasks[3])


@pytest.mark.parametrize("spec", ["ccll", "eft", "eft:anchor=pretrained", *CONTINUING])
def test_tasks_that_start_where_others_ended_are_not_independent(spec: str, make_cell: Callable[..., Cell]) -> None:
    assert not is_independent(make_cell(spec))


class Mixed(Method):
    """Batch normalisation of each task's own, whose tensors start at three places; weights stay as given."""

    recipe = Recipe(lr=0.1)
    isolates_tasks = True
    starts: ClassVar[dict[str, Start]] = {"weight": "first-task", "bias": "last-task"}

    def part(self, module: nn.Module, name: str) -> Part:
        return "task" if isinstance(module, BatchNorm) else "frozen"

    def starts_at(self, module: nn.Module, name: str) -> Start:
        return self.starts.get(name.rpartition(".")[2], super().starts_at(module, name))


class Anew(Mixed):
    """Each task from the backbone as given."""

    starts_over = True


class Continuing(Mixed):
    """All tensors start where the last task left them."""

    continues = True
    starts: ClassVar[dict[str, Start]] = {}


@pytest.mark.parametrize(
    ("method", "places"),
    [
        (Mixed, {"weight": 1, "bias": 2, "running_mean": 0, "running_var": 0}),
        (Anew, {"weight": 0, "bias": 0, "running_mean": 0, "running_var": 0}),
        (Continuing, {"weight": 2, "bias": 2, "running_mean": 2, "running_var": 2}),
    ],
)
def test_a_method_says_where_each_tensor_starts(
    method: type[Method],
    places: dict[str, int],
    begun: list[Begun],
    make_cell: Callable[..., Cell],
    tiny_tasks: tuple[Task, ...],
    states: Callable[..., list[State]],
) -> None:
    method.name = "mixed"
    cell = replace(make_cell("sgd"), make_method=method)
    learned = states(cell, tiny_tasks)
    left = {0: given(cell)} | learned[-1].tasks
    for name, tensor in begun[2].norms.items():
        place = places[name.rpartition(".")[2]]
        assert [torch.equal(tensor, left[other][name]) for other in (0, 1, 2)] == [
            place == other for other in (0, 1, 2)
        ]
    assert is_independent(cell) == (set(places.values()) == {0})


def test_an_unknown_place_is_refused(make_cell: Callable[..., Cell]) -> None:
    class Misspelt(Mixed):
        starts: ClassVar[dict[str, Start]] = {"bias": "last_task"}  # type: ignore[dict-item]

    with pytest.raises(ValueError, match=r"^Misspelt lets backbone.1.bias start at the unknown place 'last_task'$"):
        prepare(replace(make_cell("sgd"), make_method=Misspelt), 2)
