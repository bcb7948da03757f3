"""A network per task: where each starts, and that nothing is shared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from baselines.shared.finetuning import FineTuning
from baselines.single_task import SingleTask
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell
from benchmark.learning.training import Training
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods.network import Network


def test_every_task_starts_from_the_backbone_as_given(
    make_cell: Callable[..., Cell],
    states: Callable[..., list[State]],
    tiny_tasks: tuple[Task, ...],
    tiny_network: Network,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {name: tensor.detach().clone() for name, _, tensor in tiny_network.tensors()}
    started = []

    def spy(self: SingleTask, strategy: Any, **kwargs: Any) -> None:
        started.append(self.task)
        live = {name: tensor for name, _, tensor in strategy.model.tensors()}
        assert live.keys() == given.keys()
        assert all(torch.equal(live[name], given[name]) for name in given)

    monkeypatch.setattr(SingleTask, "before_training_exp", spy)
    found = states(make_cell("single-task"), tiny_tasks)
    assert started == [1, 2, 3]
    assert all(not torch.equal(found[0].tasks[1][name], given[name]) for name in given), "all of it is trained"


def test_earlier_tasks_answer_as_they_did_bit_for_bit(
    make_cell: Callable[..., Cell], states: Callable[..., list[State]], tiny_tasks: tuple[Task, ...]
) -> None:
    cell = make_cell("single-task")
    one, _, three = states(cell, tiny_tasks)
    images = tiny_tasks[0].test.images
    before, after = (network_for(cell, state, 1, 3)(images) for state in (one, three))
    assert torch.equal(before, after)


def test_the_first_task_is_learned_as_by_sgd(
    make_cell: Callable[..., Cell], states: Callable[..., list[State]], tiny_tasks: tuple[Task, ...]
) -> None:
    training = Training(FineTuning.recipe, epochs=1, batch_size=8)
    (single,), (sgd,) = (states(make_cell(name), tiny_tasks[:1], training) for name in ("single-task", "sgd"))
    expected = sgd.shared | sgd.tasks[1]
    assert single.tasks[1].keys() == expected.keys()
    assert all(torch.equal(single.tasks[1][name], expected[name]) for name in expected)


def test_a_task_takes_the_whole_network(
    make_cell: Callable[..., Cell], states: Callable[..., list[State]], tiny_tasks: tuple[Task, ...]
) -> None:
    """3 x 6 x 9 and 6 x 5 weights, 4 values for each of 11 channels normalised, a head of 5 x 2 and 2."""
    *_, two = states(make_cell("single-task"), tiny_tasks[:2])
    assert two.shared == two.memory == {}
    assert sum(tensor.numel() for tensor in two.tasks[2].values()) == 162 + 30 + 44 + 12
