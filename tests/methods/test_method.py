"""The hooks that methods fill, and what they find: as their documentation says."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from avalanche.core import BaseSGDPlugin, SupervisedPlugin

from baselines.shared.finetuning import FineTuning
from benchmark.learning.learner import Cell, learn, prepare, start
from benchmark.learning.strategy import Strategy
from benchmark.learning.training import Training
from benchmark.streams.base import Task
from methods import Method, Network, Recipe, Step, methods
from methods.method import STEP_HOOKS, fills

AROUND = (
    *("before_training_exp", "before_training_epoch", "after_training_epoch", "after_training_exp"),
    "before_training_iteration",
)
HOOKS = sorted({*AROUND, *STEP_HOOKS})


def test_all_hooks_of_a_training_are_described() -> None:
    """But for those of Avalanche's that add nothing here: around a training, which has one task, and its data sets."""
    theirs = {name for name in dir(BaseSGDPlugin) if name.startswith(("before_", "after_")) and "eval" not in name}
    left_out = {"before_training", "after_training"} | {name for name in theirs if "dataset" in name}
    assert set(HOOKS) == theirs - left_out
    for name in HOOKS:
        hook = vars(Method)[name]
        assert "ounted" in hook.__doc__, name
        _, step = inspect.signature(hook).parameters.values()
        assert step.kind is step.POSITIONAL_ONLY, "Avalanche's calls and any name will do"
        assert step.annotation == "Step"


def test_a_hook_that_does_nothing_is_not_filled_and_any_other_is() -> None:
    class Filled(Method):
        def after_update(self, step: Step) -> None: ...

    class Foreign(SupervisedPlugin):
        def before_forward(self, strategy: Any, **kwargs: Any) -> None: ...

    assert not any(fills(Method(), hook) for hook in STEP_HOOKS)
    assert [hook for hook in STEP_HOOKS if fills(Filled(), hook)] == ["after_update"]
    assert [hook for hook in STEP_HOOKS if fills(Foreign(), hook)] == ["before_forward"]
    assert not any(fills(methods.get("sgd")(), hook) for hook in STEP_HOOKS), "no call in its loop"


@pytest.fixture
def seen(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> list[tuple[str, dict[str, Any]]]:
    """(hook, what it finds), as two epochs of two tasks go by, the 40 images of each in batches of 16."""
    found: list[tuple[str, dict[str, Any]]] = []
    names = [name for name in dir(Step) if not name.startswith("_")] + [*Step.__annotations__]

    class Watching(FineTuning):
        pass

    def watch(hook: str) -> Callable[..., None]:
        def look(self: Method, step: Step) -> None:
            values = {name: getattr(step, name, None) for name in names if name not in ("images", "labels")}
            if hook in STEP_HOOKS:
                values |= {"images": step.images, "labels": step.labels}
            found.append((hook, {**values, "training": step.model.training, "autograd": torch.is_grad_enabled()}))

        return look

    for hook in HOOKS:
        setattr(Watching, hook, watch(hook))
    monkeypatch.setattr(methods, "_entries", dict(methods._entries))
    methods.register("watching")(Watching)
    cell = make_cell("watching")
    how = Training(Recipe(), epochs=2, batch_size=16)
    state = learn(cell, start(cell), tiny_tasks[0], how).state
    found.clear()
    learn(cell, state, tiny_tasks[1], how)
    return found


def test_a_step_offers_what_it_says_in_every_hook(
    seen: list[tuple[str, dict[str, Any]]], tiny_tasks: tuple[Task, ...]
) -> None:
    epoch = ["before_training_epoch", *STEP_HOOKS * 3, "after_training_epoch"]
    assert [hook for hook, _ in seen] == ["before_training_exp", *epoch, *epoch, "after_training_exp"]
    for hook, step in seen:
        assert (step["training"], step["autograd"]) == (True, True), hook
        assert isinstance(step["model"], Network)
        assert torch.equal(step["task_data"].labels, tiny_tasks[1].train.labels)
        assert (step["device"].type, step["batch_size"], step["epochs"], step["steps_per_epoch"]) == ("cpu", 16, 2, 3)
        assert step["optimizer"].param_groups[0]["params"] == step["trained"]
        assert len(step["trained"]) == len(step["shared_parameters"]()) + 2
        images = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
        assert torch.equal(step["augment_replay"](images), images)
    steps = [(hook, step) for hook, step in seen if hook in STEP_HOOKS]
    assert [step["epoch"] for _, step in steps] == [1] * 24 + [2] * 24
    assert [step["steps_done"] for _, step in steps] == [0] * 8 + [1] * 8 + [2] * 8 + [0] * 8 + [1] * 8 + [2] * 8
    for hook, step in steps:
        count = 8 if step["steps_done"] == 2 else 16
        assert (step["images"].shape, step["images"].dtype) == ((count, 3, 8, 8), torch.uint8)
        assert torch.equal(step["unchanged_images"], step["images"])
        assert (step["labels"].shape, step["labels"].dtype) == ((count,), torch.int64)
        if STEP_HOOKS.index(hook) >= 2:
            assert step["logits"].shape == (count, 2)
        if STEP_HOOKS.index(hook) >= 3:
            assert step["loss"].shape == ()
            assert step["loss"].requires_grad
    assert [step["epoch"] for hook, step in seen if hook.endswith("epoch")] == [1, 1, 2, 2]


def test_the_loop_is_a_step_and_has_avalanches_names_too(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plugins of Avalanche know its own names."""
    found: list[Any] = []

    def after_forward(self: Method, strategy: Any, **kwargs: Any) -> None:
        assert strategy.mb_x is strategy.images
        assert strategy.mb_y is strategy.labels
        assert strategy.mb_output is strategy.logits
        assert (strategy.train_epochs, strategy.train_mb_size) == (strategy.epochs, strategy.batch_size)
        found.append(strategy)

    monkeypatch.setattr(Method, "after_forward", after_forward)
    cell = make_cell("sgd")
    learn(cell, start(cell), tiny_tasks[0], Training(Recipe(), epochs=1, batch_size=20))
    assert Step in Strategy.__mro__, "so that mypy compares them"
    assert len(found) == 2


@pytest.mark.parametrize(
    ("spec", "cached"),
    [
        ("linear-probe", True),
        ("sgd-ll", True),
        ("bn-only", False),
        ("clr", False),
        ("conv-lora", False),
        ("sgd", False),
    ],
)
def test_features_are_constant_where_everything_is_frozen_and_no_hook_looks(
    spec: str, cached: bool, make_cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = make_cell(spec)
    assert prepare(cell, 1).trains_head_only is cached
    for name in (*STEP_HOOKS, "forward"):
        with monkeypatch.context() as patched:
            patched.setattr(methods.get(spec), name, lambda self, step: None, raising=False)
            assert not prepare(cell, 1).trains_head_only, name
