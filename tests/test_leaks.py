"""What no method may learn from, and what no answer may depend on; see also benchmark/checks/batches.py."""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.checks.subject import CPU, MethodSubject
from benchmark.checks.tiny import make_images
from benchmark.images import batches
from benchmark.images.batches import image_batches
from benchmark.images.labelled import LabelledImages
from benchmark.learning.evaluation import Choice, answers_among, network_for
from benchmark.learning.learner import learn, start, units_from_start
from benchmark.planning.scenarios import methods_for
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods import Method, Network
from methods.configured import configure
from methods.scenarios import Scenario

# "avalanche" alone names no plugin.
CASES = [
    (spec if spec != "avalanche" else "avalanche:MASPlugin", scenario)
    for scenario in typing.get_args(Scenario)
    for spec in methods_for(scenario)
]
ONE_HEAD = [spec for spec, scenario in CASES if scenario == "class"]


@lru_cache(maxsize=1)
def subject(spec: str, scenario: Scenario) -> MethodSubject:
    """A method that learns only once for the tests that follow each other."""
    return MethodSubject(configure(spec), scenario=scenario)


class TouchedError(Exception):
    """A test image was read, or its label, or their number."""


class Sealed(LabelledImages):
    """A test split that nobody may look at yet."""

    def __init__(self) -> None:
        pass

    def __getattribute__(self, name: str) -> Any:
        raise TouchedError(name)

    def __len__(self) -> int:
        raise TouchedError("len")


def sealed(task: Task) -> Task:
    return Task(task.name, task.classes, task.train, task.validation, Sealed())


def test_a_sealed_split_raises_when_it_is_looked_at() -> None:
    split = sealed(subject("sgd", "task").tasks[0]).test
    looks = (lambda: split.images, lambda: split.labels, lambda: len(split), lambda: split.store, lambda: split.digest)
    for look in looks:
        with pytest.raises(TouchedError):
            look()


@pytest.mark.parametrize(("spec", "scenario"), CASES)
def test_no_method_reads_a_test_image_before_it_answers(spec: str, scenario: Scenario) -> None:
    """Nor its label, nor the number of test images: what is learned is the same to the bit."""
    known = subject(spec, scenario)
    cell, state = known.cell(), start(known.cell())
    for task, expected in zip(known.tasks, known.learned, strict=True):
        learned = learn(cell, state, sealed(task), known.training())
        state = learned.state
        assert learned.operations == expected.operations
        assert same(state, expected.state)


def same(one: State, other: State) -> bool:
    first, second = ({(stem, name): t for stem, part in s.parts() for name, t in part.items()} for s in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(
    ("spec", "scenario"), [*CASES, *((f"{spec}:logits=all", "class") for spec in ("sgd", "joint"))]
)
def test_a_task_is_learned_in_the_same_way_whatever_comes_later(spec: str, scenario: Scenario) -> None:
    """But for the units that a head has from the start: by them a run that would grow is refused."""
    known = MethodSubject(configure(spec), scenario=scenario)
    cell = known.cell()
    first, *_ = known.tasks
    alone = replace(cell, tasks=cell.tasks[:1], widths=cell.widths[:1], most_classes=cell.widths[0])
    before, after = (learn(each, start(each), first, known.training()) for each in (alone, cell))
    method = known.make()
    method.scenario = known.scenario
    units = [units_from_start(method, each.widths) for each in (alone, cell)]
    assert same(before.state, after.state) == (units[0] == units[1])
    assert (before.operations == after.operations) or units[0] != units[1]


def test_a_method_that_gets_at_the_test_images_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the test above can fail."""
    known = subject("sgd", "task")
    task = sealed(known.tasks[0])
    make = known.make

    def cheating() -> Method:
        method = make()
        method.training_data = lambda data, network: task.test  # type: ignore[method-assign]
        return method

    monkeypatch.setattr(known, "make", cheating)
    with pytest.raises(TouchedError):
        learn(known.cell(), start(known.cell()), task, known.training())


def among(network: Network, *columns: range) -> Callable[[Tensor], list[Choice]]:
    """The logits of these columns: an answer for each."""

    def choices(images: Tensor) -> list[Choice]:
        logits = network(images)
        return [Choice(logits[:, own.start : own.stop], own.start) for own in columns]

    return choices


@pytest.mark.parametrize("spec", [*ONE_HEAD, "sgd:logits=all", "ewc:logits=current", "derpp:logits=all"])
def test_who_is_right_among_all_classes_is_right_among_those_of_the_task(spec: str) -> None:
    """For every image, after every task. So derived accuracy is never below accuracy."""
    known = subject(spec, "class")
    for learned in known.learned:
        state = learned.state
        columns = known.cell().columns(state.learned)
        for number, (task, own) in enumerate(zip(known.tasks, columns, strict=False), 1):
            network = network_for(known.cell(), state, number, len(task.classes))
            among_all = range(columns[-1].stop)
            answers, derived = answers_among(among(network, among_all, own), image_batches(task.test, CPU), CPU)
            labels = task.test.labels.numpy()
            assert set(labels) <= set(own)
            assert np.isin(derived.classes, own).all()
            assert (derived.classes == labels)[answers.classes == labels].all()
            # An answer that is one of the task's own classes is the best of these too.
            inside = np.isin(answers.classes, own)
            assert (derived.classes == answers.classes)[inside].all()


@pytest.mark.parametrize(("spec", "scenario"), [("er:memory=9", "class"), ("sgd", "domain"), ("clr", "task")])
def test_answers_are_the_same_in_batches_of_any_size_and_in_any_order(
    spec: str, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checks look at the logits of every method; this looks at the classes and confidences that are kept."""
    known = subject(spec, scenario)
    network = network_for(known.cell(), known.states[-1], 2, len(known.tasks[1].classes))
    data = make_images(300, network.classes, 8, seed=5)
    choices = among(network, range(network.classes), range(2))
    order = torch.randperm(300, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(batches, "_PIXELS_IN_ORDER", 0)
    found = []
    for size in (300, 256, 7, 1):
        monkeypatch.setattr(batches, "_LEAST_IN_ORDER", size)
        found.append([(a.classes, a.confidence) for a in answers_among(choices, image_batches(data, CPU), CPU)])
        shuffled = LabelledImages(data.images[order], data.labels[order])
        back = order.argsort().numpy()
        mixed = answers_among(choices, image_batches(shuffled, CPU), CPU)
        found.append([(a.classes[back], a.confidence[back]) for a in mixed])
    assert len(set(found[0][0][1].tolist())) > 200
    for each in found[1:]:
        for (classes, confidence), (expected, sure) in zip(each, found[0], strict=True):
            assert (classes == expected).all()
            np.testing.assert_allclose(confidence, sure, rtol=1e-5)
