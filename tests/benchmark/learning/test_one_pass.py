"""A task that is learned without gradient steps: which hooks run, what they find, and what is counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from benchmark.images import batches
from benchmark.learning.learner import Cell, LearnedTask, is_independent, learn, start
from benchmark.learning.strategy import DivergedError, Strategy
from benchmark.learning.training import Training
from benchmark.streams.base import Task
from methods import Method, Part, Step
from methods.recipe import Recipe

CPU = torch.device("cpu")


class Noting(Method):
    """Notes its hooks, and keeps the features of each task."""

    name = "noting"
    learns_in_steps = False
    search = {}
    isolates_tasks = True
    scenarios = ("task", "class", "domain")

    def __init__(self, calls: list[str], weight: float = 1.0):
        super().__init__()
        self.calls = calls
        self.weight = weight

    def part(self, module: nn.Module, name: str) -> Part:
        return "frozen"

    def __getattribute__(self, name: str) -> Any:
        if name.startswith(("before_", "after_", "training_data", "forward")):
            object.__getattribute__(self, "calls").append(name)
        return super().__getattribute__(name)

    def after_training_exp(self, step: Step) -> None:
        assert step.model.training, "as all hooks find it"
        found = list(step.task_features())
        assert step.model.training
        assert not any(features.requires_grad for features, _ in found)
        self.kept["features"] = torch.cat([features for features, _ in found]).float()
        self.kept["labels"] = torch.cat([labels for _, labels in found])
        heads = step.model.heads
        weight = torch.full((heads.units, 5), self.weight)
        heads.assign(weight, torch.arange(heads.units))


@pytest.fixture
def cell(make_cell: Callable[..., Cell]) -> Callable[..., Cell]:
    def make(calls: list[str] | None = None, **options: float) -> Cell:
        return replace(make_cell("sgd"), make_method=lambda: Noting([] if calls is None else calls, **options))

    return make


def lesson(cell: Cell, task: Task, **changes: Any) -> LearnedTask:
    return learn(cell, start(cell), task, replace(Training(Recipe(), epochs=3, batch_size=8), **changes))


def test_only_the_hooks_before_and_after_run(
    cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("there are no steps")

    monkeypatch.setattr(Strategy, "__init__", refuse)
    calls: list[str] = []
    learned = lesson(cell(calls), tiny_tasks[0])
    assert calls == ["before_training_exp", "after_training_exp"]
    assert (learned.steps, learned.losses, learned.timing.epochs, learned.timing.spread) == (0, [], [], None)
    assert not learned.features_cached
    assert learned.seconds > 0


def test_progress_moves_once(cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    passes: list[int] = []
    made = cell()
    learn(made, start(made), tiny_tasks[0], Training(Recipe(), 3, 8), lambda: passes.append(1))
    assert passes == [1]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_features_are_those_of_the_frozen_backbone_at_the_runs_precision(
    precision: Any, cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All images in their order, in several batches; nothing is augmented, however long the training is to be."""
    monkeypatch.setattr(batches, "_PIXELS_IN_ORDER", 1)
    monkeypatch.setattr(batches, "_LEAST_IN_ORDER", 7)
    made, task = cell(), tiny_tasks[0]
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        expected = made.pristine.eval().features(task.train.images).float()
    kept = lesson(made, task, precision=precision).state.memory
    assert torch.equal(kept["labels"], task.train.labels)
    torch.testing.assert_close(kept["features"], expected, rtol=1e-5, atol=1e-6)
    changed = {"epochs": 9, "batch_size": 2, "augment": ("flip", "crop"), "recipe": Recipe(lr=9.0), "compiled": True}
    again = lesson(made, task, precision=precision, **changed)
    assert torch.equal(again.state.memory["features"], kept["features"])


def test_its_operations_are_those_of_a_pass(cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    """40 images through a 3x3 convolution from 3 to 6 channels and a 1x1 one to 5, at 8x8; also without data."""
    made, task = cell(), tiny_tasks[0]
    assert lesson(made, task).operations == 40 * 2 * 8 * 8 * (3 * 6 * 9 + 6 * 5)


def test_the_head_is_what_was_assigned(cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    state = lesson(cell(), tiny_tasks[0]).state
    assert torch.equal(state.tasks[1]["heads.1.weight"], torch.ones(3, 5))
    assert state.tasks[1]["heads.1.bias"].tolist() == [0, 1, 2]


def test_a_step_has_no_optimiser(
    cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def before_training_exp(self: Noting, step: Step) -> None:
        assert (len(step.task_data), step.device) == (40, CPU)
        assert not hasattr(step, "optimizer")

    monkeypatch.setattr(Noting, "before_training_exp", before_training_exp)
    lesson(cell(), tiny_tasks[0])


def test_a_head_that_is_not_finite_stops_the_task(cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    with pytest.raises(DivergedError, match="the weights of the head are not finite after task 1"):
        lesson(cell(weight=float("inf")), tiny_tasks[0])


@pytest.mark.parametrize(("scenario", "expected"), [("task", True), ("class", False), ("domain", False)])
def test_where_one_head_answers_no_task_is_independent(
    scenario: Any, expected: bool, cell: Callable[..., Cell]
) -> None:
    assert is_independent(replace(cell(), scenario=scenario, widths=(3, 2, 4))) is expected


def test_a_method_with_steps_finds_the_same_features(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, found = make_cell("linear-probe"), []

    def after_training_exp(self: Method, step: Step) -> None:
        found.extend(step.task_features())

    monkeypatch.setattr(Method, "after_training_exp", after_training_exp)
    lesson(made, tiny_tasks[0])
    with torch.no_grad():
        expected = made.pristine.eval().features(tiny_tasks[0].train.images)
    torch.testing.assert_close(torch.cat([features for features, _ in found]), expected)
