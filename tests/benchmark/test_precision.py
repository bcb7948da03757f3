"""In bf16 the network computes in bfloat16, and everything that is learned or kept stays in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmark.evaluation import evaluate, network_for
from benchmark.learner import Cell, learn, start
from benchmark.model import Network
from benchmark.precision import computing
from benchmark.streams.base import Task
from benchmark.training import Training
from methods import Method, methods

CPU = torch.device("cpu")


@pytest.fixture
def convolved(tiny_network: Network) -> list[torch.dtype]:
    """The formats in which convolutions answered."""
    formats: list[torch.dtype] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        formats.append(output.dtype)

    for module in tiny_network.backbone:
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note)
    return formats


@pytest.mark.parametrize("name", ["sgd", "clr", "er"])
@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_only_the_passes_have_the_precision(
    name: str,
    precision: str,
    dtype: torch.dtype,
    convolved: list[torch.dtype],
    make_cell: Callable[..., Cell],
    tiny_tasks: tuple[Task, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logits, learning = set(), set()

    def after_update(self: Method, strategy: Any, **kwargs: Any) -> None:
        logits.add(strategy.mb_output.dtype)
        trained = strategy.optimizer.param_groups[0]["params"]
        kept = (tensor for state in strategy.optimizer.state.values() for tensor in state.values())
        learning.update(tensor.dtype for tensor in (*trained, *(p.grad for p in trained), *kept, strategy.loss))

    monkeypatch.setattr(Method, "after_update", after_update)
    cell, how = make_cell(name), Training(methods.get(name).recipe, epochs=1, batch_size=8, precision=precision)
    state = start(cell)
    for task in tiny_tasks[:2]:
        state = learn(cell, state, task, how).state
    assert set(convolved) == logits == {dtype}
    assert learning == {torch.float32}
    stored = [*state.shared.values(), *state.tasks[1].values(), *state.tasks[2].values(), *state.memory.values()]
    assert not any(tensor.dtype == torch.bfloat16 for tensor in stored)


def test_the_network_answers_in_the_same_precision_as_it_learned(
    convolved: list[torch.dtype], make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    cell, data = make_cell("sgd"), tiny_tasks[0].train
    how = Training(methods.get("sgd").recipe, epochs=8, batch_size=8, precision="bf16")
    learned = learn(cell, start(cell), tiny_tasks[0], how)
    assert learned.losses[-1] < 0.7 * learned.losses[0]
    network = network_for(cell, learned.state, 1, 3)
    convolved.clear()
    half, single = (evaluate(network, data, CPU, precision) for precision in ("bf16", "fp32"))
    assert convolved == [torch.bfloat16] * 2 + [torch.float32] * 2
    assert half == pytest.approx(single, abs=0.1)
    assert single > 0.6, "a third would be guessed"


def test_changed_weights_are_used_at_once() -> None:
    layer, x = nn.Linear(1, 1, bias=False), torch.ones(1, 1)
    with computing("bf16", CPU):
        answers = []
        for value in (1.0, 2.0):
            with torch.no_grad():
                layer.weight.fill_(value)
            answers.append(layer(x).item())
    assert answers == [1.0, 2.0]


def test_single_precision_is_left_alone() -> None:
    with computing("fp32", CPU):
        assert not torch.is_autocast_enabled("cpu")
    with computing("bf16", CPU):
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cpu")
