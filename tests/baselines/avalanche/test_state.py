"""Objects as tensors: what comes back, what it takes, and what cannot be stored."""

from __future__ import annotations

import copy
import json
import logging
from collections import OrderedDict, defaultdict
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from avalanche.training.utils import ParamData
from torch import Tensor, nn

from baselines.avalanche.state import restore, store
from methods.errors import UserError


class Part:
    def __init__(self) -> None:
        self.a, self.b = 1, 2


class Thing:
    """Has attributes of its own, and is what a fresh one is until `learn`."""

    def __init__(self) -> None:
        self.number, self.word, self.nothing = 1, "a", None
        self.table = {"a": 1, "b": 2}
        self.lists: dict[str, list[int]] = defaultdict(list)
        self.part = Part()
        self.start = torch.zeros(2)
        self.log = logging.getLogger("a logger")
        self.function = lambda x: x
        self.method = self.learn
        self.bound = partial(nn.LayerNorm, eps=1e-6)

    def learn(self) -> None:
        pass


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(2, 3)
        self.norm = nn.BatchNorm1d(3)
        self.tied = nn.Linear(2, 3)
        self.tied.weight = self.layer.weight


def round_trip(thing: object, model: nn.Module | None = None) -> tuple[Any, dict[str, Tensor]]:
    """A fresh thing that was told what `thing` knows, and what it took."""
    model = model or Model()
    fresh, stored = type(thing)(), store({"thing": thing}, {"thing": type(thing)()}, model)
    restore({"thing": fresh}, {name: tensor.clone() for name, tensor in stored.items()}, model)
    return fresh, {name: tensor for name, tensor in stored.items() if name != "structure"}


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 0, 1, -1.5, float("inf"), "", "fresh", [], (), {}, set()),
        [1, ["model"], ("fresh", None)],
        {"a": 1, 2: {"b": (3, 4)}, (1, "x"): None, None: False, 1.5: 2},
        OrderedDict(b=1, a=2),
        {1, 2, 3},
        frozenset({"x"}),
        {None, 1},
    ],
)
def test_simple_values(value: object) -> None:
    thing = Thing()
    thing.number = value
    restored, tensors = round_trip(thing)
    assert restored.number == value
    assert type(restored.number) is type(value)
    assert repr(restored.number) == repr(value)
    assert tensors == {}


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(3),
        torch.tensor([True, False]),
        torch.empty(0, 4),
        torch.rand(2, 3, dtype=torch.float64).t(),
        nn.Parameter(torch.ones(2)),
        nn.Parameter(torch.ones(2), requires_grad=False),
        torch.ones(2, requires_grad=True),
    ],
)
def test_tensors_keep_type_and_gradient(tensor: Tensor) -> None:
    thing = Thing()
    thing.number = {"x": [tensor]}
    restored, tensors = round_trip(thing)
    found = restored.number["x"][0]
    assert type(found) is type(tensor)
    assert found.dtype == tensor.dtype
    assert found.requires_grad == tensor.requires_grad
    assert torch.equal(found, tensor)
    assert tensors.keys() == {"thing.number.x.0"}


def test_a_result_is_stored_without_its_history() -> None:
    thing = Thing()
    thing.number = (torch.ones(2, requires_grad=True) * 2).sum()
    restored, _ = round_trip(thing)
    assert restored.number == 4
    assert not restored.number.requires_grad


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning")
def test_parameters_of_avalanche() -> None:
    thing = Thing()
    thing.number = {"w": ParamData("weight", (2,), init_tensor=torch.tensor([1.0, 2.0]))}
    restored, tensors = round_trip(thing)
    found = restored.number["w"]
    assert (found.name, found.shape, found.device) == ("weight", (2,), torch.device("cpu"))
    assert found.expand((3,)).tolist() == [1, 2, 0]
    assert [tensor.tolist() for tensor in tensors.values()] == [[1, 2]]


def test_what_is_none_now_is_none_again() -> None:
    thing = Thing()
    thing.number, thing.start = OrderedDict(a=None), [None]
    thing.later, thing.part.a = None, None  # type: ignore[attr-defined]
    restored, _ = round_trip(thing)
    assert restored.number == {"a": None}
    assert restored.start == [None]
    assert restored.later is restored.part.a is None


def test_nothing_is_stored_of_what_is_as_it_was_constructed() -> None:
    stored = store({"thing": Thing()}, {"thing": Thing()}, Model())
    assert stored.keys() == {"structure"}
    assert json.loads(bytes(stored["structure"].tolist())) == {}


def test_only_what_changed_is_stored() -> None:
    thing = Thing()
    thing.part.b, thing.part.c = 3, torch.ones(1)  # type: ignore[attr-defined]
    stored = store({"thing": thing}, {"thing": Thing()}, Model())
    structure = json.loads(bytes(stored["structure"].tolist()))
    assert structure == {"thing": ["object", {"part": ["object", {"b": 3, "c": ["tensor", "thing.part.c"]}]}]}
    restored, _ = round_trip(thing)
    assert vars(restored.part) == {"a": 1, "b": 3, "c": torch.ones(1)}
    assert restored.function(5) == 5


def test_what_was_removed_from_a_dictionary_stays_away() -> None:
    thing = Thing()
    del thing.table["a"]
    assert round_trip(thing)[0].table == {"b": 2}


def test_a_default_dictionary_stays_one() -> None:
    thing = Thing()
    thing.lists["a"].append(1)
    restored, _ = round_trip(thing)
    restored.lists["b"].append(2)
    assert restored.lists == {"a": [1], "b": [2]}


def test_a_tensor_that_is_there_twice_is_stored_once() -> None:
    thing = Thing()
    thing.number = thing.word = torch.ones(3)
    restored, tensors = round_trip(thing)
    assert len(tensors) == 1
    assert restored.number is restored.word


def test_images_are_named_as_stored_samples_and_no_name_is_given_twice() -> None:
    thing = Thing()
    thing.number = {"a.b": torch.ones(1), "a": {"b": torch.zeros(1)}, 1: torch.ones(2), "1": torch.zeros(2)}
    thing.word = torch.zeros(4, dtype=torch.uint8)
    restored, tensors = round_trip(thing)
    assert len(tensors) == 5
    assert [name for name in tensors if name.startswith("replay.")] == ["replay.thing.word"]
    for key in ("a.b", 1, "1"):
        assert torch.equal(restored.number[key], thing.number[key])
    assert torch.equal(restored.number["a"]["b"], torch.zeros(1))


def test_the_order_of_a_set_does_not_matter() -> None:
    things = Thing(), Thing()
    things[0].number, things[1].number = {0, 8}, {8, 0}
    assert list(things[0].number) != list(things[1].number)
    first, second = (store({"thing": thing}, {"thing": Thing()}, Model()) for thing in things)
    assert torch.equal(first["structure"], second["structure"])


def test_the_model_itself_is_referred_to() -> None:
    thing, model = Thing(), Model()
    thing.number = [model]
    restored, tensors = round_trip(thing, model)
    assert restored.number[0] is model
    assert tensors == {}


def test_a_copy_of_the_model_is_stored_as_far_as_it_differs() -> None:
    thing, model = Thing(), Model()
    thing.number = copy.deepcopy(model)
    restored, tensors = round_trip(thing, model)
    assert tensors == {}
    assert restored.number is not model
    assert restored.number.tied.weight is restored.number.layer.weight is not model.layer.weight

    with torch.no_grad():
        thing.number.layer.weight.add_(1)
        thing.number.norm.running_mean.add_(2)
    thing.number.norm.eval()
    thing.number.layer.bias.requires_grad_(False)
    restored, tensors = round_trip(thing, model)
    assert tensors.keys() == {
        "thing.number._modules.layer._parameters.weight",
        "thing.number._modules.norm._buffers.running_mean",
    }
    assert restored.number.tied.weight is restored.number.layer.weight
    for name, tensor in thing.number.state_dict().items():
        assert torch.equal(restored.number.state_dict()[name], tensor), name
    expected, found = (
        [[module.training for module in part.modules()], [p.requires_grad for p in part.parameters()]]
        for part in (thing.number, restored.number)
    )
    assert found == expected
    assert model.norm.training
    assert model.layer.bias.requires_grad


def test_a_copy_that_stays_behind_keeps_its_values_when_the_model_goes_on() -> None:
    thing, model = Thing(), Model()
    thing.number = copy.deepcopy(model)
    given = model.layer.weight.detach().clone()
    thing, _ = round_trip(thing, model)
    with torch.no_grad():
        model.layer.weight.add_(1)
    thing, _ = round_trip(thing, model)
    assert torch.equal(thing.number.layer.weight, given)


class Slotted:
    __slots__ = ("value",)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (iter([1]), "list_iterator"),
        (lambda x: x, "function"),
        (np.zeros(2), "ndarray"),
        (defaultdict(list), "defaultdict"),
        (Slotted(), "Slotted"),
        (Thing(), "Thing"),
        (torch.Generator(), "Generator"),
        (logging.getLogger("another"), "Logger"),
        (nn.Linear(1, 1), "Linear"),
    ],
)
def test_what_cannot_be_stored_is_named(value: object, kind: str) -> None:
    thing = Thing()
    thing.nothing = {"a": [value]}
    with pytest.raises(UserError) as caught:
        round_trip(thing)
    assert str(caught.value) == f"thing.nothing.a.0 is a {kind}, which cannot be stored from one task to the next"


@pytest.mark.parametrize("name", ["function", "method", "log", "bound"])
def test_what_was_exchanged_since_construction_cannot_be_stored(name: str) -> None:
    thing = Thing()
    others = {"function": lambda x: -x, "method": thing.__init__, "log": logging.getLogger("x")}
    setattr(thing, name, {**others, "bound": partial(nn.LayerNorm, eps=1e-5)}[name])
    with pytest.raises(UserError, match=f"^thing.{name} is a "):
        round_trip(thing)
