"""The loop calls what methods and plugins fill, and touches nothing that is frozen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from avalanche.core import SupervisedPlugin

from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.strategy import DivergedError, Strategy, _Hooks
from benchmark.learning.training import Training
from benchmark.streams.base import Task
from methods import Method, methods
from methods.recipe import Recipe

#: The hooks of a step, in the order in which Avalanche calls them.
EVENTS = (
    "before_training_iteration",
    "before_forward",
    "after_forward",
    "before_backward",
    "after_backward",
    "before_update",
    "after_update",
    "after_training_iteration",
)

#: Of the tiny backbone's two batch norms.
NORMS = {f"backbone.{layer}.{name}" for layer in (1, 4) for name in ("weight", "bias")}


class Filled(SupervisedPlugin):
    """Fills one hook."""

    def __init__(self, calls: list[tuple[str, object]]):
        super().__init__()
        self.calls = calls

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        self.calls.append(("filled", strategy))


class Inheriting(Filled):
    """Fills it through its base class."""


class Empty(SupervisedPlugin):
    """Fills none."""


def test_a_hook_is_called_where_it_is_filled_and_in_the_order_of_the_plugins() -> None:
    calls: list[tuple[str, object]] = []
    first, second = Filled(calls), Inheriting([])
    second.calls = calls
    hooks, strategy = _Hooks([Empty(), first, second]), object()
    hooks.call("before_forward", strategy)
    hooks.call("after_forward", strategy)
    assert calls == [("filled", strategy)] * 2
    assert [hook.__self__ for hook in hooks._of["before_forward"]] == [first, second]
    assert hooks._of["after_forward"] == [], "an empty hook is not called"


def test_a_hook_that_is_put_into_a_class_later_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    plugin = Empty()
    monkeypatch.setattr(Empty, "before_update", lambda self, strategy: calls.append(self), raising=False)
    _Hooks([plugin]).call("before_update", object())
    assert calls == [plugin]


def test_what_is_no_supervised_plugin_is_called_too() -> None:
    """As Avalanche's clock, which counts steps."""
    calls: list[object] = []

    class Duck:
        def after_update(self, strategy: Any) -> None:
            calls.append(strategy)

    hooks = _Hooks([Duck()])  # type: ignore[list-item]
    hooks.call("after_update", "here")
    hooks.call("before_update", "here")
    assert calls == ["here"]


def test_every_hook_of_a_step_is_called_in_avalanches_order(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    counted: list[int] = []

    def spy(event: str) -> Callable[..., None]:
        def hook(self: Method, strategy: Strategy, **kwargs: Any) -> None:
            called.append(event)
            counted.append(strategy.clock.train_exp_iterations)

        return hook

    for event in EVENTS:
        monkeypatch.setattr(Method, event, spy(event))
    cell = make_cell("sgd")
    learned = learn(cell, start(cell), tiny_tasks[0], Training(Recipe(), epochs=1, batch_size=20))
    assert called == [*EVENTS, *EVENTS]
    assert counted == [0] * 8 + [1] * 8
    assert learned.steps == 2


@pytest.mark.parametrize(
    ("name", "trained"),
    [
        ("linear-probe", {"heads.weight", "heads.bias"}),
        ("clr", {"heads.weight", "heads.bias", "backbone.0.clr.weight"} | NORMS),
    ],
)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_frozen_tensors_have_no_gradient_and_no_optimiser_state(
    name: str,
    trained: set[str],
    optimizer: str,
    make_cell: Callable[..., Cell],
    tiny_tasks: tuple[Task, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps: list[tuple[set[str], set[str]]] = []

    def after_update(self: Method, strategy: Strategy, **kwargs: Any) -> None:
        parameters = dict(strategy.bench.network.named_parameters())
        with_gradient = {key for key, parameter in parameters.items() if parameter.grad is not None}
        steps.append((with_gradient, {key for key, p in parameters.items() if p in strategy.optimizer.state}))

    monkeypatch.setattr(Method, "after_update", after_update)
    cell = make_cell(name)
    learn(cell, start(cell), tiny_tasks[0], Training(Recipe(optimizer=optimizer), epochs=1, batch_size=20))
    assert steps == [(trained, trained)] * 2


def test_the_learning_rate_follows_the_schedule_from_epoch_to_epoch(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []

    def before_training_epoch(self: Method, strategy: Strategy, **kwargs: Any) -> None:
        rates.append(strategy.optimizer.param_groups[0]["lr"])

    monkeypatch.setattr(Method, "before_training_epoch", before_training_epoch)
    cell = make_cell("sgd")
    learn(cell, start(cell), tiny_tasks[0], Training(Recipe(lr=0.2, schedule="step"), epochs=3, batch_size=20))
    assert rates == pytest.approx([0.2, 0.02, 0.002])


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_the_first_step_whose_loss_is_no_number_is_named(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """The eighth of 5 steps an epoch; those behind it have losses that are numbers again."""

    def before_backward(self: Method, strategy: Strategy, **kwargs: Any) -> None:
        if strategy.steps == 7:
            strategy.loss = strategy.loss * 0 + float(value)

    monkeypatch.setattr(Method, "before_backward", before_backward)
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self, closure=None: None)
    cell = make_cell("sgd")
    training = Training(Recipe(optimizer="sgd"), epochs=3, batch_size=8)
    with pytest.raises(DivergedError) as caught:
        learn(cell, start(cell), tiny_tasks[0], training)
    assert str(caught.value) == (
        f"the training loss is {value} in step 3 of epoch 2 of task 1; a smaller --lr may help"
    )


def test_weights_that_the_last_step_spoils_are_noticed(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []

    def spoil(self: Method, strategy: Strategy, **kwargs: Any) -> None:
        steps.append(0)
        if len(steps) == 15:
            next(strategy.model.parameters()).data[0] = torch.nan

    monkeypatch.setattr(Method, "after_update", spoil)
    cell = make_cell("sgd")
    with pytest.raises(DivergedError, match="the weights are not finite after task 1"):
        learn(cell, start(cell), tiny_tasks[0], Training(Recipe(), epochs=3, batch_size=8))
    assert len(steps) == 15


def test_losses_are_read_once_per_epoch(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading a value makes a GPU's work wait to the end: no step does it."""
    reads: list[int] = []
    steps: list[int] = []
    for reading in ("item", "__float__", "__int__", "__bool__", "tolist", "cpu"):
        read = getattr(torch.Tensor, reading)
        monkeypatch.setattr(torch.Tensor, reading, lambda self, read=read: (reads.append(len(steps)), read(self))[1])
    monkeypatch.setattr(Method, "after_update", lambda self, strategy, **kwargs: steps.append(0))
    cell = make_cell("sgd")
    learn(cell, start(cell), tiny_tasks[0], Training(methods.get("sgd").recipe, epochs=3, batch_size=8))
    assert len(steps) == 15
    assert {5, 10, 15} <= set(reads) <= {0, 5, 10, 15}
