"""What the simple baselines share, freeze and keep per task: batch normalisation is said explicitly."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell, learn, prepare, start
from benchmark.learning.training import Training
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods import methods
from methods.heads import is_head

CONVS = {"backbone.0.weight", "backbone.3.weight"}
NORMS = {f"backbone.{i}.{name}" for i in (1, 4) for name in ("weight", "bias", "running_mean", "running_var")}


def parts(cell: Cell) -> dict[str, set[str]]:
    named = prepare(cell, 1).parts
    return {part: {name for name, p in named.items() if p == part} for part in ("frozen", "shared", "task")}


def after(cell: Cell, name: str, tasks: tuple[Task, ...]) -> State:
    state = start(cell)
    for task in tasks:
        state = learn(cell, state, task, Training(methods.get(name).recipe, epochs=2, batch_size=8)).state
    return state


@pytest.mark.parametrize("name", ["sgd", "ewc", "online-ewc"])
@pytest.mark.parametrize(("bn", "part"), [("shared", "shared"), ("frozen", "frozen"), ("per-task", "task")])
def test_batch_norm_policy(name: str, bn: str, part: str, make_cell: Callable[..., Cell]) -> None:
    expected = {"frozen": set(), "shared": set(CONVS), "task": set()}
    expected[part] |= NORMS
    assert parts(make_cell(name, bn=bn)) == expected


@pytest.mark.parametrize(("bn", "moves"), [("shared", True), ("frozen", False)])
def test_statistics_move_only_where_they_are_shared(
    bn: str, moves: bool, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    cell = make_cell("sgd", bn=bn)
    network = network_for(cell, after(cell, "sgd", tiny_tasks[:1]), 1, 3)
    given = dict(cell.pristine.named_buffers())["backbone.1.running_mean"]
    assert torch.equal(network.get_buffer("backbone.1.running_mean"), given) != moves


def test_per_task_statistics_are_counted(make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    cell = make_cell("sgd", bn="per-task")
    own = after(cell, "sgd", tiny_tasks[:1]).tasks[1]
    assert sum(t.numel() for name, t in own.items() if not is_head(name)) == 4 * (6 + 5)


def test_linear_probe_and_bn_only(make_cell: Callable[..., Cell]) -> None:
    assert parts(make_cell("linear-probe")) == {"frozen": CONVS | NORMS, "shared": set(), "task": set()}
    assert parts(make_cell("bn-only")) == {"frozen": CONVS, "shared": set(), "task": NORMS}


def test_sgd_ll_has_one_head_for_all_tasks(make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    """As wide as the largest class count, and a task of two classes answers with two units of it."""
    cell = make_cell("sgd-ll")
    one, two = (after(cell, "sgd-ll", tiny_tasks[:n]) for n in (1, 2))
    assert {name: tuple(t.shape) for name, t in two.shared.items()} == {
        "heads.shared.weight": (4, 5),
        "heads.shared.bias": (4,),
    }
    assert two.tasks == {1: {}, 2: {}}
    assert network_for(cell, two, 2, 2)(tiny_tasks[1].test.images).shape == (20, 2)
    changed = one.shared["heads.shared.weight"] != two.shared["heads.shared.weight"]
    assert changed[:2].any()
    assert not changed[2:].any(), "units beyond the task's classes get no gradient"
