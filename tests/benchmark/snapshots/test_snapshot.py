"""A snapshot of objects, put back into others that were made in the same way, makes them go on alike."""

from __future__ import annotations

import functools
import itertools
import logging
import random
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmark.snapshots.inventory import Inventory
from benchmark.snapshots.put_back import put_back
from benchmark.snapshots.snapshot import Snapshot, take_snapshot
from methods.errors import UserError


@dataclass(frozen=True)
class Key:
    """Its hash is that of its attributes."""

    number: int


class Slots:
    __slots__ = ("__hidden", "open")

    def __init__(self) -> None:
        self.open, self.__hidden = 1, [2]

    def next(self) -> int:
        self.open += 1
        self.__hidden.append(self.open)
        return sum(self.__hidden)


class Named(list[float]):
    """A list with an attribute."""

    name = ""


class Course:
    """It has something of each kind, and goes on differently if any of it is not as it was."""

    def __init__(self) -> None:
        self.layer = nn.Linear(2, 2)
        with torch.no_grad():
            self.layer.weight.copy_(torch.arange(4.0).view(2, 2))
            self.layer.bias.zero_()
        self.optimizer = torch.optim.Adam(self.layer.parameters(), lr=0.1)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda epoch: 0.5**epoch)
        self.generators = random.Random(1), np.random.default_rng(2), np.random.RandomState(3)
        self.torch_generator = torch.Generator().manual_seed(4)
        self.whole = torch.zeros(6)
        self.part = self.whole[2:4]
        self.array = np.zeros((2, 3))
        self.queue: deque[float] = deque(maxlen=3)
        self.counts, self.lists = Counter[int](), defaultdict[int, list[float]](list)
        self.ordered = OrderedDict.fromkeys("ab", 0.0)
        self.of_parameters: dict[Tensor, float] = dict.fromkeys(self.layer.parameters(), 0.0)
        self.of_keys: dict[Key, float] = {}
        self.seen: set[int] = set()
        self.slots, self.raw = Slots(), bytearray(b"ab")
        self.log, self.lock = logging.getLogger("course"), threading.Lock()
        self.largest = functools.partial(max, 1.0)
        self.itself = self
        count = 0

        def next_number() -> int:
            nonlocal count
            count += 1
            return count

        self.next_number = next_number
        self.hook = self.layer.register_forward_hook(lambda *arguments: self.seen.add(-len(self.seen)))

    def step(self) -> float:
        number = self.next_number()
        if number == 2:
            # What comes later.
            self.late, self.later, self.floats = Slots(), nn.Linear(1, 1), Named([0.5])
            self.floats.name = "x"
            self.bound, self.append = self.late.next, self.floats.append
            nn.init.constant_(self.later.weight, 3.0)
            self.pair = (self.floats, Fraction(1, 3), self.whole)
            self.ordered.move_to_end("a")
        python, numpy, old = self.generators
        drawn = python.random() + float(numpy.random()) + float(old.rand())
        drawn += float(torch.rand((), generator=self.torch_generator))
        self.part += drawn
        self.array[number % 2, 1] += drawn
        self.queue.append(drawn)
        self.counts[number % 2] += 1
        self.lists[number % 2].append(drawn)
        self.of_keys[Key(number)] = drawn
        self.of_keys[Key(1)] += 1
        self.raw[0] = (self.raw[0] + 1) % 256
        for parameter in self.of_parameters:
            self.of_parameters[parameter] += float(parameter.detach().sum())
        if hasattr(self, "late"):
            self.append(self.bound() + float(self.later.weight.detach()))
        loss = self.layer(torch.ones(1, 2)).square().sum()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return float(loss.detach()) + self.total()

    def total(self) -> float:
        total = float(self.whole.sum()) + float(self.array.sum()) + sum(self.queue) + sum(self.of_keys.values())
        total += sum(self.of_parameters.values()) + self.slots.next() + sum(self.seen) + self.raw[0]
        total += sum(map(sum, self.lists.values())) + sum(self.counts.values()) + self.largest(total)
        if hasattr(self, "floats"):
            floats, third, whole = self.pair
            assert floats is self.floats
            assert whole is self.whole
            assert floats.name == "x"
            total += sum(floats) * float(third)
        assert self.itself is self
        return total + sum(ord(name) * 10**place for place, name in enumerate(self.ordered))


def stored(snapshot: Snapshot) -> Snapshot:
    """The same without anything of this process in it."""
    return Snapshot(snapshot.signature, str(snapshot.structure), [data.clone() for data in snapshot.data])


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_an_object_made_anew_goes_on_as_the_one_that_was_stored(steps: int) -> None:
    course = Course()
    inventory = Inventory({"course": course})
    for _ in range(steps):
        course.step()
    snapshot = stored(take_snapshot(inventory, {"course": course}))
    expected = [course.step() for _ in range(4)]
    another = Course()
    (found,) = put_back(Inventory({"course": another}), snapshot)
    assert found is another
    assert [another.step() for _ in range(4)] == expected


def test_an_object_goes_back_to_what_it_was() -> None:
    course = Course()
    inventory = Inventory({"course": course})
    course.step()
    snapshot = take_snapshot(inventory, {"course": course})
    weight, bias = course.layer.weight, course.layer.bias
    expected = [course.step() for _ in range(3)]
    put_back(inventory, snapshot)
    assert course.layer.weight is weight
    assert course.layer.bias is bias
    assert [course.step() for _ in range(3)] == expected


def test_tensors_that_share_their_values_still_share_them() -> None:
    course: dict[str, Any] = {"whole": torch.arange(6.0)}
    inventory = Inventory({"course": course})
    # Neither of them was there when it began.
    course["row"], course["column"] = course["whole"].view(2, 3)[1], course["whole"].view(2, 3)[:, 2]
    snapshot = take_snapshot(inventory, {"course": course})
    assert sorted(map(len, snapshot.data)) == [24], "they are stored once"
    another: dict[str, Any] = {"whole": torch.zeros(6)}
    whole = another["whole"]
    put_back(Inventory({"course": another}), snapshot)
    assert another["whole"] is whole
    another["row"][2] = 7.0
    assert another["whole"].tolist() == [0, 1, 2, 3, 4, 7]
    assert another["column"].tolist() == [2, 7]
    assert (another["column"].stride(), another["column"].storage_offset()) == ((3,), 2)


def test_forms_of_tensors_are_kept() -> None:
    images = torch.arange(24.0).view(1, 2, 3, 4).contiguous(memory_format=torch.channels_last)
    made = {
        "images": images,
        "none": torch.empty(0, 3),
        "one": torch.tensor(True),
        "half": torch.tensor([1.5], dtype=torch.bfloat16),
        "trained": nn.Parameter(torch.ones(2)),
        "frozen": nn.Parameter(torch.ones(2), requires_grad=False),
    }
    made["trained"].grad = torch.tensor([3.0, 4.0])
    snapshot = take_snapshot(Inventory({"course": {}}), {"course": made})
    (found,) = put_back(Inventory({"course": {}}), snapshot)
    assert found["images"].stride() == images.stride()
    for name, tensor in made.items():
        assert torch.equal(found[name], tensor)
        assert (found[name].dtype, type(found[name]), found[name].requires_grad) == (
            (tensor.dtype, type(tensor), tensor.requires_grad)
        )
    assert found["trained"].grad.tolist() == [3, 4]


def test_tensors_that_never_change_are_not_stored() -> None:
    images = torch.arange(1000.0)
    course: dict[str, Any] = {}
    inventory = Inventory({"course": course}, lasting=[images])
    course["few"] = images[10:12]
    snapshot = take_snapshot(inventory, {"course": course})
    assert snapshot.data == []
    another: dict[str, Any] = {}
    again = torch.arange(1000.0)
    put_back(Inventory({"course": another}, lasting=[again]), snapshot)
    assert another["few"].tolist() == [10, 11]
    assert another["few"].untyped_storage().data_ptr() == again.untyped_storage().data_ptr()


def test_they_may_lie_elsewhere_in_another_process() -> None:
    """A part of a state is read from a file as one piece, and was many when it was made."""
    whole = torch.arange(100.0)
    together, apart = [whole[:40], whole[40:]], [torch.arange(40.0), torch.arange(40.0, 100.0)]
    for lasting, others in ((together, apart), (apart, together)):
        course: dict[str, Any] = {"second": lasting[1]}
        inventory = Inventory({"course": course}, lasting=lasting)
        course["few"], course["first"] = lasting[1][5:7], lasting[0]
        snapshot = take_snapshot(inventory, {"course": course})
        assert snapshot.data == []
        another: dict[str, Any] = {"second": others[1]}
        put_back(Inventory({"course": another}, lasting=others), snapshot)
        assert another["second"] is others[1]
        assert another["few"].tolist() == [45, 46]
        assert torch.equal(another["first"], torch.arange(40.0))
    assert torch.equal(whole, torch.arange(100.0))


def test_fixed_objects_are_not_looked_into() -> None:
    class Odd:
        content = 1

    fixed = Odd()
    fixed.stream = iter([1, 2])  # type: ignore[attr-defined]
    course: dict[str, Any] = {"fixed": fixed}
    snapshot = take_snapshot(Inventory({"course": course}, fixed=[fixed]), {"course": course})
    other = Odd()
    another: dict[str, Any] = {"fixed": other}
    put_back(Inventory({"course": another}, fixed=[other]), snapshot)
    assert another["fixed"] is other


class Counting:
    """An iterator that says itself what its state is."""

    def __init__(self) -> None:
        self.number, self.numbers = 0, itertools.count()

    def __iter__(self) -> Counting:
        return self

    def __next__(self) -> int:
        self.number = next(self.numbers)
        return self.number

    def __getstate__(self) -> dict[str, int]:
        return {"number": self.number}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.number = state["number"]
        self.numbers = itertools.count(self.number + 1)


def test_an_object_may_say_what_its_state_is() -> None:
    course, another = {"it": Counting()}, {"it": Counting()}
    inventory = Inventory({"course": course})
    assert [next(course["it"]) for _ in range(3)] == [0, 1, 2]
    put_back(Inventory({"course": another}), take_snapshot(inventory, {"course": course}))
    assert next(another["it"]) == 3


class Holder:
    def __init__(self, value: object):
        self.content = {"here": [value]}


@pytest.mark.parametrize("value", [itertools.count(), (number for number in range(3)), iter([1])])
def test_what_cannot_be_stored_is_named(value: object) -> None:
    with pytest.raises(UserError) as error:
        Inventory({"method": Holder(value)})
    assert str(error.value).startswith(f"method.content['here'][0] is a {type(value).__name__}, whose state cannot be")


def test_a_function_that_came_later_is_named() -> None:
    holder = Holder(1)
    inventory = Inventory({"method": holder})
    holder.content["later"] = [lambda: 1]
    with pytest.raises(UserError, match=r"method\.content\['later'\]\[0\] is a function"):
        take_snapshot(inventory, {"method": holder})


def test_other_objects_are_refused() -> None:
    snapshot = take_snapshot(Inventory({"course": [1, [2]]}), {"course": [1]})
    with pytest.raises(LookupError, match="is not the same"):
        put_back(Inventory({"course": [1, {}]}), snapshot)


def test_a_snapshot_cannot_name_a_class_that_is_not_loaded(tmp_path: Path) -> None:
    """What is in a file must not run code of its own."""
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    course = [Holder(1)]
    snapshot = take_snapshot(Inventory({"course": []}), {"course": course})
    evil = snapshot.structure.replace(f"{Holder.__module__}:Holder", "evil:Evil")
    assert evil != snapshot.structure
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(tmp_path))
        with pytest.raises(LookupError, match="no class evil:Evil"):
            put_back(Inventory({"course": []}), Snapshot(snapshot.signature, evil, snapshot.data))
    assert not (tmp_path / "ran").exists()
