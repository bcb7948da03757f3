"""Exemplars: herding against a search over all candidates in NumPy, how many there are, and in what order."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch

from baselines.shared.exemplars import herding, of_each_class
from benchmark.checks.tiny import three_tasks, without_data
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from benchmark.storage.state import State
from methods import MemorySize
from methods.configured import configure
from methods.network import Network

TASKS = three_tasks("class")
ENDS = (3, 5, 9)
every = pytest.mark.parametrize("name", ["icarl", "wa", "bic"])


@pytest.fixture
def learn_all(tiny_network: Network, states: Callable[..., list[State]]) -> Callable[..., list[State]]:
    """learn_all("wa", MemorySize(images=20)) -> the states after the three tasks of 3, 2 and 4 classes."""

    def fold(name: str, memory: MemorySize) -> list[State]:
        return states(cell_of(name, memory, tiny_network), TASKS)

    return fold


def cell_of(name: str, memory: MemorySize, network: Network, device: str = "cpu") -> Cell:
    cls = configure(name).cls
    return Cell(network, lambda: cls(memory=memory), 4, 0, torch.device(device), scenario="class", widths=(3, 2, 4))


@pytest.mark.parametrize("count", [1, 4, 9, 12, 20])
def test_herding_is_the_greedy_choice_of_the_nearest_mean(count: int) -> None:
    """Each time, try every sample that is left, and take the mean of all chosen ones."""
    features = torch.randn(12, 5, generator=torch.Generator().manual_seed(count), dtype=torch.float64)
    values, chosen = features.numpy(), []
    for _ in range(min(count, 12)):
        left = [n for n in range(12) if n not in chosen]
        distances = [np.linalg.norm(values.mean(0) - values[[*chosen, n]].mean(0)) for n in left]
        chosen.append(left[int(np.argmin(distances))])
    assert herding(features, count).tolist() == chosen


def test_the_first_of_more_exemplars_are_those_of_fewer() -> None:
    features = torch.rand(30, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(herding(features, 7), herding(features, 20)[:7])


def test_of_equally_near_samples_the_first_is_chosen_and_none_twice() -> None:
    assert herding(torch.ones(4, 3), 4).tolist() == [0, 1, 2, 3]
    assert herding(torch.zeros(3, 3), 2).tolist() == [0, 1]


def test_the_first_rows_of_each_class() -> None:
    assert of_each_class(torch.tensor([0, 0, 0, 1, 3, 3]), 2).tolist() == [0, 1, 3, 4, 5]


@every
@pytest.mark.parametrize("capacity", [9, 20, 47, 1000])
def test_equally_many_of_each_class_and_the_first_ones_stay(
    name: str, capacity: int, learn_all: Callable[..., list[State]]
) -> None:
    found = learn_all(name, MemorySize(images=capacity))
    # 40 images a task: 14, 13 and 13 of three classes, 20 of each of two, and 10 of each of four.
    there = [14, 13, 13, 20, 20, 10, 10, 10, 10]
    for state, end in zip(found, ENDS, strict=True):
        stored = state.memory["replay.labels"].tolist()
        assert [stored.count(c) for c in range(end)] == [min(capacity // end, most) for most in there[:end]]
        assert stored == sorted(stored)
        assert len(stored) <= capacity
        tasks = [1 if c < 3 else 2 if c < 5 else 3 for c in stored]
        assert state.memory["replay.tasks"].tolist() == tasks
        for image, label, task in zip(state.memory["replay.images"], stored, tasks, strict=True):
            train = TASKS[task - 1].train
            same = (train.images == image).flatten(1).all(1)
            assert train.labels[same].tolist() == [label]
    for before, after in pairwise(found):
        for label in before.memory["replay.labels"].unique():
            old, new = (s.memory["replay.images"][s.memory["replay.labels"] == label] for s in (before, after))
            assert torch.equal(new, old[: len(new)])


@every
def test_what_enters_is_herded_in_the_network_that_has_learned(
    name: str, learn_all: Callable[..., list[State]], tiny_network: Network
) -> None:
    state = learn_all(name, MemorySize(images=30))[0]
    network = tiny_network.eval()
    network.place({key: value for key, value in state.shared.items() if key.startswith("backbone")})
    train = TASKS[0].train
    with torch.no_grad():
        features = network.features(train.images)
    features = features / features.norm(dim=1, keepdim=True)
    for label in range(3):
        own = (train.labels == label).nonzero()[:, 0]
        expected = train.images[own[herding(features[own], 10)]]
        assert torch.equal(state.memory["replay.images"][state.memory["replay.labels"] == label], expected)


@every
def test_fewer_places_than_classes(name: str, learn_all: Callable[..., list[State]]) -> None:
    """The memory is never larger than its capacity: the first classes keep one each."""
    labels = [state.memory["replay.labels"].tolist() for state in learn_all(name, MemorySize(images=4))]
    assert labels == [[0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3]]


@every
def test_memory_in_bytes(name: str, learn_all: Callable[..., list[State]]) -> None:
    """An image of 8x8 has 192 bytes of pixels, and 4 of label and task. 20 of them, and 195 bytes that are too few."""
    found = learn_all(name, MemorySize(bytes=20 * 196 + 195))
    assert [state.count_bytes()["replay"] for state in found] == [18 * 196, 20 * 196, 18 * 196]


@every
@pytest.mark.parametrize("capacity", [4, 20, 47, 1000])
def test_without_values_as_many_are_stored(
    name: str, capacity: int, learn_all: Callable[..., list[State]], tiny_network: Network
) -> None:
    memory = MemorySize(images=capacity)
    real = learn_all(name, memory)
    cell = cell_of(name, memory, tiny_network.to("meta"), "meta")
    training = Training(configure(name).cls.recipe, epochs=1, batch_size=8, dry=True)
    state = start(cell)
    for task, expected in zip(TASKS, real, strict=True):
        state = learn(cell, state, without_data(task), training).state
        assert {key: tensor.shape for key, tensor in state.memory.items()} == {
            key: tensor.shape for key, tensor in expected.memory.items()
        }
