"""What the first task trains, and what later tasks find fixed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell, start
from benchmark.storage.state import State
from benchmark.streams.base import Task

CONVS = {"backbone.0.weight", "backbone.3.weight"}

both = pytest.mark.parametrize("name", ["ccll", "eft"])


@both
def test_the_first_task_alone_trains_the_network(
    name: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], states: Callable[..., list[State]]
) -> None:
    cell = make_cell(name)
    given, one, two, three = start(cell), *states(cell, tiny_tasks)
    assert given.shared.keys() == one.shared.keys() == CONVS
    for conv in CONVS:
        assert not torch.equal(given.shared[conv], one.shared[conv])
        assert torch.equal(one.shared[conv], two.shared[conv])
        assert torch.equal(one.shared[conv], three.shared[conv])


@both
def test_a_pretrained_anchor_is_never_trained(
    name: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], states: Callable[..., list[State]]
) -> None:
    (after,) = states(make_cell(name, anchor="pretrained"), tiny_tasks[:1])
    assert after.shared == {}
    assert CONVS.isdisjoint(after.tasks[1])


@both
@pytest.mark.parametrize("anchor", ["first-task", "pretrained"])
def test_earlier_tasks_logits_are_equal_bit_for_bit(
    name: str,
    anchor: str,
    make_cell: Callable[..., Cell],
    tiny_tasks: tuple[Task, ...],
    states: Callable[..., list[State]],
) -> None:
    cell = make_cell(name, anchor=anchor)
    after = states(cell, tiny_tasks)
    for number, task in enumerate(tiny_tasks, 1):
        with torch.no_grad():
            then, now = (
                network_for(cell, state, number, len(task.classes))(task.test.images)
                for state in (after[number - 1], after[-1])
            )
        assert torch.equal(then, now)
