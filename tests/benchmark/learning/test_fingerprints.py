"""What a task answers with is known by its hash: it changes with every value that counts, and with no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.nn.utils import parametrizations

from benchmark.learning.answering import Answering
from benchmark.learning.evaluation import evaluation_fingerprint
from benchmark.learning.fingerprints import NetworkFingerprints
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from benchmark.storage.state import State, pack
from benchmark.streams.base import Task
from methods.network import Network

CLASSES = {1: 3, 2: 2, 3: 4}


class Steps:
    """The states of a cell after each task, and the checksums of their files."""

    def __init__(self, cell: Cell, tasks: tuple[Task, ...]):
        self.cell = cell
        self.states: list[State] = []
        self.checksums: list[dict[str, str]] = []
        state, checksums = start(cell), dict[str, str]()
        for task in tasks:
            how = Training(cell.make_method().recipe, epochs=1, batch_size=8)
            after = learn(cell, state, task, how).state
            checksums = pack(after, state, checksums).checksums
            state = after
            self.states.append(state)
            self.checksums.append(checksums)

    def of(self, task: int, after: int, data: str = "data", answering: Answering | None = None) -> str:
        hashes = NetworkFingerprints(answering or Answering(self.cell))
        return hashes.of(self.states[after - 1], self.checksums[after - 1], task, CLASSES[task], data)

    def of_files(self, task: int, after: int) -> str:
        return evaluation_fingerprint(self.checksums[after - 1], task, "data")


@pytest.mark.parametrize("spec", ["packnet", "packnet:bn=per-task"])
def test_what_a_mask_hides_does_not_count(
    spec: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    steps = Steps(make_cell(spec), tiny_tasks)
    assert len({steps.of_files(1, after) for after in (1, 2, 3)}) == 3, "the shared weights have changed"
    assert steps.of(1, 1) == steps.of(1, 2) == steps.of(1, 3)
    assert steps.of(2, 2) == steps.of(2, 3)
    assert len({steps.of(task, 3) for task in (1, 2, 3)}) == 3
    assert steps.of(1, 1, "other") != steps.of(1, 1)


def test_every_value_that_a_masked_network_uses_counts(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    steps = Steps(make_cell("packnet"), tiny_tasks[:2])
    before = steps.of(1, 2)
    state, seen = steps.states[1], {before}
    network = Answering(steps.cell).network(state, 1, 3)
    weight = network.get_submodule("backbone.0").weight.detach().flatten()
    name = "backbone.0.parametrizations.weight.original"
    used, hidden = int((weight != 0).nonzero()[0]), int((weight == 0).nonzero()[0])

    def changed(name: str, index: int) -> State:
        other = state.shared[name].clone()
        other.flatten()[index] += 1
        return replace(state, shared=state.shared | {name: other})

    steps.states[1] = changed(name, hidden)
    assert steps.of(1, 2) == before
    for tensor, index in ((name, used), ("backbone.1.weight", 0), ("backbone.4.running_var", 1)):
        steps.states[1] = changed(tensor, index)
        assert steps.of(1, 2) not in seen
        seen.add(steps.of(1, 2))
    steps.states[1] = state
    steps.checksums[1] = steps.checksums[1] | {"task-1": "another head"}
    assert steps.of(1, 2) not in seen


@pytest.mark.parametrize("spec", ["psp", "psp:contexts=stored", "psp:bn=shared", "psp:contexts=stored:bn=shared"])
def test_what_no_mask_hides_counts(spec: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    steps = Steps(make_cell(spec), tiny_tasks)
    assert len({steps.of(task, after) for after in (1, 2, 3) for task in range(1, after + 1)}) == 6


def test_weights_that_the_backbone_computes(
    make_cell: Callable[..., Cell], tiny_network: Network, tiny_tasks: tuple[Task, ...]
) -> None:
    parametrizations.weight_norm(tiny_network.get_submodule("backbone.0"))
    steps = Steps(make_cell("sgd", tiny_network), tiny_tasks)
    assert len({steps.of(1, after) for after in (1, 2, 3)}) == 3


@pytest.mark.parametrize("spec", ["sgd", "er", "sgd-ll", "clr", "piggyback", "conv-lora", "hat"])
def test_where_no_shared_weight_is_computed_the_files_tell_all(
    spec: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    steps = Steps(make_cell(spec), tiny_tasks)
    for after in (1, 2, 3):
        for task in range(1, after + 1):
            assert steps.of(task, after, answering=NoNetwork(steps.cell)) == steps.of_files(task, after)


class NoNetwork(Answering):
    def network(self, state: State, task: int, classes: int) -> Network:
        raise AssertionError("no network is needed")


def test_another_device_is_not_touched(make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    """The hash of a masked network is computed where the state is, and is the same for all devices."""
    steps = Steps(make_cell("packnet"), tiny_tasks[:2])
    elsewhere = NoNetwork(replace(steps.cell, device=torch.device("meta")))
    assert steps.of(1, 2, answering=elsewhere) == steps.of(1, 2)
