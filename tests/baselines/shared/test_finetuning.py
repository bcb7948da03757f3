"""What the methods that train all heads in one pass share: batch normalisation, and heads that are trained."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from benchmark.learning.learner import Cell
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods import methods

every = pytest.mark.parametrize("name", ["lwf", "er", "er-ace", "derpp", "agem", "joint", "gdumb"])


@every
def test_per_task_batch_norm_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="bn=shared or bn=frozen"):
        methods.get(name)(bn="per-task")


@every
def test_frozen_batch_norm_does_not_move(
    name: str, make_cell: Callable[..., Cell], states: Callable[..., list[State]], tiny_tasks: tuple[Task, ...]
) -> None:
    *_, state = states(make_cell(name, bn="frozen"), tiny_tasks[:2])
    assert state.shared.keys() == {"backbone.0.weight", "backbone.3.weight"}


@every
def test_the_heads_of_earlier_tasks_are_trained(
    name: str, make_cell: Callable[..., Cell], states: Callable[..., list[State]], tiny_tasks: tuple[Task, ...]
) -> None:
    one, two, three = states(make_cell(name), tiny_tasks)
    for before, after in ((one, two), (two, three)):
        for task, tensors in before.tasks.items():
            key = f"heads.{task}.weight"
            assert not torch.equal(tensors[key], after.tasks[task][key]), (key, after.learned)
