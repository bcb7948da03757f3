"""What --compile compiles. A compiled graph is run by torch itself here, so that no C++ compiler is needed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark.learning.learner import Cell, LearnedTask, learn, start
from benchmark.learning.training import Training
from benchmark.streams.base import Task
from methods.network import Network

#: Whether autograd was on at each call of a compiled graph.
Calls = list[bool]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    noted: Calls = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            noted.append(torch.is_grad_enabled())
            return graph(*arguments)

        return call

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    yield noted
    torch._dynamo.reset()


def learn_two(cell: Cell, tasks: tuple[Task, ...], compiled: bool, before_second: Callable[[], None]) -> LearnedTask:
    """The second of two tasks, in two epochs of 5 steps."""
    training = Training(cell.make_method().recipe, epochs=2, batch_size=8, compiled=compiled)
    state = learn(cell, start(cell), tasks[0], training).state
    before_second()
    return learn(cell, state, tasks[1], training)


@pytest.mark.parametrize(
    ("method", "student", "teacher"),
    # Avalanche's plugin passes the images through the student a second time.
    [
        ("sgd", 1, 0),
        ("er", 1, 0),
        ("agem", 2, 0),
        ("supsup", 1, 0),
        ("lwf", 1, 1),
        ("avalanche:LwFPlugin:alpha=1:temperature=2", 2, 1),
    ],
)
def test_every_pass_of_a_step_is_compiled_and_nothing_else_changes(
    method: str, student: int, teacher: int, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], calls: Calls
) -> None:
    cell = make_cell(method)
    plain = learn_two(cell, tiny_tasks, False, calls.clear)
    assert calls == []
    compiled = learn_two(cell, tiny_tasks, True, calls.clear)
    # The first step of each epoch is counted, and nothing is compiled in it.
    steps = compiled.steps - 2
    assert steps == 8
    assert calls.count(True) == student * steps
    assert calls.count(False) == teacher * steps
    assert compiled.losses == pytest.approx(plain.losses, rel=1e-5)
    assert compiled.operations == plain.operations


def test_a_copy_of_a_compiled_network_is_compiled_and_one_of_another_is_not(
    tiny_network: Network, calls: Calls
) -> None:
    tiny_network.heads.add("1", 3)
    tiny_network.use_head("1", 3)
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    expected = tiny_network(images)
    copy.deepcopy(tiny_network)(images)
    assert calls == []
    tiny_network.compile(dynamic=False)
    twin = copy.deepcopy(copy.deepcopy(tiny_network))
    torch.testing.assert_close(twin(images), expected)
    assert len(calls) == 1
    with torch.no_grad():
        twin.heads.bias.add_(1)
    torch.testing.assert_close(tiny_network(images), expected)
