"""One pass asks all networks that have the same features; each answers as a network made for its task alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.checks.tiny import make_task
from benchmark.images import batches
from benchmark.learning.answering import Answering
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.operations import inference_operations_per_image
from benchmark.learning.panel import Panel
from benchmark.learning.training import Training
from benchmark.storage.state import State
from benchmark.streams.base import Stream, Task
from benchmark.streams.columns import in_columns
from methods.configured import configure
from methods.scenarios import Scenario

WIDTHS = (3, 2, 4)
SURENESS = {"largest": lambda logits: logits.amax(1), "spread": lambda logits: logits.std(1)}
Fold = Callable[..., tuple[Cell, State, tuple[Task, ...]]]


@pytest.fixture
def fold_each(make_cell: Callable[..., Cell]) -> Fold:
    """fold_each("clr", "task") -> a cell, its states after one, two and three tasks, and these."""

    def run(spec: str, scenario: Scenario = "task") -> tuple[Cell, list[State], tuple[Task, ...]]:
        tasks = tuple(make_task(number, width) for number, width in enumerate(WIDTHS, 1))
        stream = in_columns(Stream("tiny", tasks), scenario)
        cell = replace(make_cell(spec), scenario=scenario, widths=stream.widths, tasks=stream.names)
        states = [start(cell)]
        for task in stream.tasks:
            states.append(
                learn(cell, states[-1], task, Training(cell.make_method().recipe, epochs=1, batch_size=8)).state
            )
        return cell, states[1:], stream.tasks

    return run


@pytest.fixture
def fold(fold_each: Fold) -> Fold:
    """fold("clr", "task") -> a cell, its state after three tasks, and these."""

    def run(spec: str, scenario: Scenario = "task") -> tuple[Cell, State, tuple[Task, ...]]:
        cell, states, tasks = fold_each(spec, scenario)
        return cell, states[-1], tasks

    return run


@torch.no_grad()
def alone(cell: Cell, state: State, network: int, task: Task) -> Tensor:
    """The logits of a new network for one task, for images one by one."""
    made = network_for(cell, state, network, WIDTHS[network - 1])
    return torch.cat([made(image[None]) for image in task.test.images])


def check(given: Mapping[int, object], expected: Mapping[int, Tensor]) -> None:
    assert given.keys() == expected.keys()
    for number, logits in expected.items():
        answers = given[number]
        assert answers.classes.tolist() == logits.argmax(1).tolist()
        assert answers.confidence == pytest.approx(logits.softmax(1).amax(1).numpy(), rel=1e-5)
        assert answers.sureness.keys() == SURENESS.keys()
        assert answers.sureness["largest"] == pytest.approx(logits.amax(1).numpy(), rel=1e-5, abs=1e-6)
        assert answers.sureness["spread"] == pytest.approx(logits.numpy().std(1, ddof=1), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("spec", ["sgd", "ewc", "er:memory=9", "linear-probe", "sgd-ll"])
def test_networks_that_differ_by_their_heads_are_asked_in_one_pass(fold: Fold, spec: str) -> None:
    cell, state, tasks = fold(spec)
    panel = Panel(cell, "fp32", SURENESS)
    assert panel.is_together(state)
    for number, task in enumerate(tasks, 1):
        given = panel.ask(state, number, task.test, (1, 2, 3))
        check(given.by_task, {k: alone(cell, state, k, task) for k in (number, *{1, 2, 3} - {number})})
        assert given.own["task"] == given.by_task[number]
        # Nothing changes what is answered without the others, to the last bit.
        assert panel.ask(state, number, task.test).own == given.own
        assert Panel(cell, "fp32", SURENESS).ask(state, number, task.test).own == given.own


@pytest.mark.parametrize("spec", ["clr", "packnet", "psp", "psp:bn=shared", "hat", "single-task", "sgd:bn=per-task"])
def test_networks_with_more_of_their_own_are_asked_one_by_one(fold: Fold, spec: str) -> None:
    cell, state, tasks = fold(spec)
    panel = Panel(cell, "fp32", SURENESS)
    assert not panel.is_together(state)
    for network in (1, 2, 3):
        check(panel.ask(state, network, tasks[1].test).by_task, {network: alone(cell, state, network, tasks[1])})


def test_one_head_is_asked_for_each_task_in_one_pass(fold: Fold) -> None:
    cell, state, tasks = fold("er:memory=9", "class")
    panel = Panel(cell, "fp32", SURENESS)
    assert panel.is_together(state)
    logits = alone(cell, state, 2, tasks[1])
    given = panel.ask(state, 2, tasks[1].test, (1, 2, 3))
    check(given.by_task, {1: logits[:, :3], 2: logits[:, 3:5], 3: logits[:, 5:9]})
    assert list(given.own) == ["class", "derived"]
    assert given.own["class"].classes.tolist() == logits.argmax(1).tolist()
    assert given.own["derived"].classes.tolist() == (logits[:, 3:5].argmax(1) + 3).tolist()
    assert panel.ask(state, 2, tasks[1].test).by_task == {}


def test_operations_are_those_of_all_networks_or_of_one_pass(fold: Fold) -> None:
    for spec, scenario in (("clr", "task"), ("sgd", "task"), ("sgd", "class")):
        cell, state, _ = fold(spec, scenario)
        panel = Panel(cell, "fp32")
        each = [inference_operations_per_image(network_for(cell, state, k, w), w, 8) for k, w in enumerate(WIDTHS, 1)]
        if spec == "clr":
            assert panel.operations_of_all(state, 8) == sum(each)
        elif scenario == "task":
            features = network_for(cell, state, 1, 3).feature_dim
            assert panel.operations_of_all(state, 8) == each[0] + 2 * features * (2 + 4)
        else:
            made = network_for(cell, state, 3, 4)
            assert panel.operations_of_all(state, 8) == inference_operations_per_image(made, sum(WIDTHS), 8)


@pytest.mark.parametrize("scenario", ["task", "class"])
@pytest.mark.parametrize("spec", ["linear-probe", "sgd-ll", "ncm", "slda", "ranpac"])
def test_where_only_heads_are_trained_an_image_passes_once(
    fold_each: Fold, passes: list[int], monkeypatch: pytest.MonkeyPatch, spec: str, scenario: Scenario
) -> None:
    if scenario not in configure(spec).cls.scenarios:
        pytest.skip(f"{spec} has no answer there")
    monkeypatch.setattr(batches, "_PIXELS_IN_ORDER", 0)
    monkeypatch.setattr(batches, "_LEAST_IN_ORDER", 5)
    cell, states, tasks = fold_each(spec, scenario)
    keeping, unseen = Panel(cell, "fp32", SURENESS), sum(len(task.test) for task in tasks)
    for state in states:
        for number, task in enumerate(tasks[: state.learned], 1):
            passes.clear()
            given = keeping.ask(state, number, task.test, [number])
            unseen -= sum(passes)
            anew = keeping.anew()
            assert given == anew.ask(state, number, task.test, [number])
            with monkeypatch.context() as patched:
                patched.setattr(Answering, "see_alike", lambda answering, state: False)
                assert given == anew.ask(state, number, task.test, [number])
    assert unseen == 0, "each image has passed once"


@pytest.mark.parametrize("spec", ["clr", "sgd", "norm-only", "psp", "ewc:bn=per-task"])
def test_where_more_is_trained_images_pass_for_each_answer(fold: Fold, passes: list[int], spec: str) -> None:
    cell, state, tasks = fold(spec)
    panel = Panel(cell, "fp32")
    for _ in range(2):
        passes.clear()
        panel.ask(state, 1, tasks[0].test)
        assert sum(passes) == len(tasks[0].test)


def test_what_is_not_asked_for_is_not_measured(fold: Fold) -> None:
    cell, state, tasks = fold("clr")
    given = Panel(cell, "fp32").ask(state, 1, tasks[0].test)
    assert not given.own["task"].sureness
    assert np.isfinite(given.own["task"].confidence).all()
