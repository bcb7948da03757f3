"""Features that are computed once are those of every epoch, and give the same heads."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from benchmark.checks.tiny import without_data
from benchmark.config import Settings
from benchmark.learning.features import precompute
from benchmark.learning.learner import Cell, LearnedTask, learn, start
from benchmark.learning.training import Training
from benchmark.planning.estimate import StreamShape, estimate
from benchmark.streams.base import Task
from methods import methods
from methods.network import Network
from methods.recipe import Recipe

CPU = torch.device("cpu")
HEAD_ONLY = ("linear-probe", "sgd-ll")

#: Per image at 8x8: 3x3 kernels from 3 to 6 channels and 1x1 kernels from 6 to 5, at 64 positions.
BACKBONE_OPERATIONS = 2 * 64 * (6 * 3 * 9 + 5 * 6)


@pytest.fixture
def learn_two(make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> Callable[..., list[LearnedTask]]:
    """learn_two("sgd-ll", epochs=3, ...): the first two tasks; keywords as of Training."""

    def learned(name: str, **keywords: Any) -> list[LearnedTask]:
        cell = make_cell(name)
        state, results = start(cell), []
        for task in tiny_tasks[:2]:
            results.append(learn(cell, state, task, Training(methods.get(name).recipe, batch_size=8, **keywords)))
            state = results[-1].state
        return results

    return learned


def test_features_are_those_of_a_forward_pass_in_evaluation_mode(
    tiny_network: Network, tiny_tasks: tuple[Task, ...]
) -> None:
    data = tiny_tasks[0].train
    tiny_network.backbone.insert(0, nn.Dropout(0.5))
    tiny_network.train()
    statistics = tiny_network.get_buffer("backbone.2.running_mean").clone()
    found = precompute(tiny_network, data, CPU, "fp32")
    assert tiny_network.training
    assert torch.equal(tiny_network.get_buffer("backbone.2.running_mean"), statistics)
    expected = tiny_network.eval().features(data.images)
    torch.testing.assert_close(found.data.images, expected.detach())
    assert torch.equal(found.data.labels, data.labels)
    assert not found.data.images.requires_grad
    assert found.operations == 40 * BACKBONE_OPERATIONS


@pytest.mark.parametrize("images_at_once", [7, 40])
def test_features_stay_in_the_order_of_the_images(
    tiny_network: Network, tiny_tasks: tuple[Task, ...], images_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tiny_tasks[0].train
    expected = tiny_network.eval().features(data.images).detach()
    monkeypatch.setattr("benchmark.images.batches._PIXELS_IN_ORDER", 0)
    monkeypatch.setattr("benchmark.images.batches._LEAST_IN_ORDER", images_at_once)
    torch.testing.assert_close(precompute(tiny_network, data, CPU, "fp32").data.images, expected)


def test_features_in_half_precision_are_kept_in_single(tiny_network: Network, tiny_tasks: tuple[Task, ...]) -> None:
    data = tiny_tasks[0].train
    single, half = (precompute(tiny_network, data, CPU, precision).data.images for precision in ("fp32", "bf16"))
    assert half.dtype == torch.float32
    assert torch.equal(half, half.bfloat16().float())
    torch.testing.assert_close(half, single, rtol=0.05, atol=0.05)
    assert not torch.equal(half, single)


@pytest.mark.parametrize("name", HEAD_ONLY)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_heads_are_those_that_images_in_every_epoch_give(
    name: str, precision: str, learn_two: Callable[..., list[LearnedTask]], monkeypatch: pytest.MonkeyPatch
) -> None:
    once = learn_two(name, epochs=3, precision=precision)
    # A method that looks at steps has to be shown the images.
    monkeypatch.setattr(methods.get(name), "after_update", lambda self, step: None, raising=False)
    always = learn_two(name, epochs=3, precision=precision)
    tolerance = {"fp32": 1e-5, "bf16": 2e-2}[precision]
    for a, b in zip(once, always, strict=True):
        assert (a.features_cached, b.features_cached) == (True, False)
        assert a.losses == pytest.approx(b.losses, rel=tolerance)
        mine, theirs = (learned.state.shared | learned.state.tasks[learned.state.learned] for learned in (a, b))
        assert len(mine) == 2, "a weight and a bias"
        torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", HEAD_ONLY)
def test_the_backbone_sees_each_image_once_per_task(
    name: str, learn_two: Callable[..., list[LearnedTask]], passes: list[int]
) -> None:
    learn_two(name, epochs=3)
    assert passes == [40, 40]


@pytest.mark.parametrize("name", HEAD_ONLY)
def test_augmented_images_are_others_in_each_epoch(
    name: str, learn_two: Callable[..., list[LearnedTask]], passes: list[int]
) -> None:
    learned = learn_two(name, epochs=3, augment=("flip",))
    assert [task.features_cached for task in learned] == [False, False]
    assert passes == [8] * (2 * 3 * 5)


def test_methods_that_train_more_than_a_head_see_the_images(learn_two: Callable[..., list[LearnedTask]]) -> None:
    for name in ("sgd", "clr", "bn-only"):
        assert not any(task.features_cached for task in learn_two(name, epochs=1))


def test_without_values_a_size_of_batch_passes_once_and_counts_each_time(
    tiny_network: Network, tiny_tasks: tuple[Task, ...], passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `cost` does it for many tasks: 40 images are two batches of 16 and one of 8."""
    monkeypatch.setattr("benchmark.images.batches._PIXELS_IN_ORDER", 16 * 64)
    monkeypatch.setattr("benchmark.images.batches._LEAST_IN_ORDER", 1)
    network, meta = copy.deepcopy(tiny_network).to("meta"), torch.device("meta")
    found = precompute(network, without_data(tiny_tasks[0]).train, meta, "fp32")
    assert passes == [16, 8]
    assert found.operations == 40 * BACKBONE_OPERATIONS
    assert found.data.images.shape == (40, 5)
    assert network.passed == 40


@pytest.mark.parametrize(("name", "classes"), [("linear-probe", 3), ("sgd-ll", 4)])
def test_operations_are_one_pass_and_the_heads_steps(
    name: str, classes: int, learn_two: Callable[..., list[LearnedTask]]
) -> None:
    """A step computes logits and the head's gradient from 5 features, and none for the features."""
    head = 2 * (2 * 5 * classes)
    for epochs in (1, 3):
        operations = learn_two(name, epochs=epochs)[0].operations
        assert operations == 40 * BACKBONE_OPERATIONS + epochs * 40 * head


def test_what_would_be_computed_once_is_so_where_costs_are_estimated() -> None:
    settings = Settings(methods=("linear-probe", "sgd-ll", "sgd", "clr"), epochs=2, batch_size=8)
    compute = estimate(settings, StreamShape(tasks=2, classes=3, images=16, image_size=32))[1]
    assert compute["features_cached"].tolist() == [True, True, False, False]


def test_a_step_on_features_is_the_one_that_autograd_gives(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    """One step of plain gradient descent on all images, worked out by autograd in double precision."""
    cell = make_cell("linear-probe")
    recipe = Recipe(lr=0.5, momentum=0.0, schedule="constant")
    task = tiny_tasks[0]
    learned = learn(cell, start(cell), task, Training(recipe, epochs=1, batch_size=40)).state.tasks[1]
    none = learn(cell, start(cell), task, Training(Recipe(lr=1e-30, momentum=0.0), epochs=1, batch_size=40))
    weight, bias = (none.state.tasks[1][f"heads.1.{name}"].double().requires_grad_() for name in ("weight", "bias"))
    features = cell.pristine.eval().features(task.train.images).detach().double()
    nn.functional.cross_entropy(features @ weight.T + bias, task.train.labels).backward()
    for name, before in (("weight", weight), ("bias", bias)):
        after = (before - 0.5 * before.grad).detach().float()
        torch.testing.assert_close(learned[f"heads.1.{name}"], after)
