"""EFT against its formula written out in plain operations, its start, its size, and where a later task starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d

from baselines.eft import EFT
from benchmark.backbones import backbones
from benchmark.learning.learner import Cell, learn, prepare
from benchmark.learning.training import Training
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods.heads import is_head
from methods.network import Network


def transformed(c: Tensor, t: dict[str, Tensor], conv: str, sizes: tuple[int, int]) -> Tensor:
    """GW(c) + PW(c), each one convolution per group of `sizes` channels."""
    total = torch.zeros_like(c)
    for kind, size, padding in (("groupwise", sizes[0], 1), ("pointwise", sizes[1], 0)):
        weight, bias = t[f"{conv}.{kind}.weight"], t[f"{conv}.{kind}.bias"]
        groups = zip(c.split(size, 1), weight.split(size), bias.split(size), strict=True)
        total = total + torch.cat([conv2d(*group, padding=padding) for group in groups], 1)
    return total


def plain(x: Tensor, t: dict[str, Tensor], training: bool) -> Tensor:
    """The features [N, 6]: of 24 channels, 8 and 8 divide 8 and 16; of 6 channels, 2 does."""
    c = transformed(conv2d(x, t["0.weight"], padding=1), t, "0", (8, 8))
    statistics = t["1.running_mean"].clone(), t["1.running_var"].clone()
    x = batch_norm(c, *statistics, t["1.weight"], t["1.bias"], training).clamp(min=0)
    c = transformed(conv2d(x, t["3.weight"], t["3.bias"]), t, "3", (2, 2))
    return c.clamp(min=0).mean((2, 3))


@pytest.mark.parametrize("training", [False, True])
def test_features_and_gradients_equal_the_formula(
    training: bool, mixed_network: Network, make_cell: Callable[..., Cell], assert_computes: Callable[..., set[str]]
) -> None:
    adapted = prepare(make_cell("eft", network=mixed_network), 1).network.train(training)
    trained = assert_computes(adapted, lambda x, t: plain(x, t, training))
    assert len(trained) == 3 + 2 + 2 * 4, "the backbone's own; and weight and bias of GW and PW, twice"


def test_starts_exactly_as_the_backbone(mixed_network: Network, make_cell: Callable[..., Cell]) -> None:
    adapted = prepare(make_cell("eft", network=mixed_network), 1).network
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(adapted.eval().features(images), mixed_network.eval().features(images))


@pytest.mark.parametrize(("backbone", "channels"), [("resnet18", 4_800), ("resnet50", 26_560)])
def test_a_task_holds_92_values_per_channel_and_2_statistics(backbone: str, channels: int) -> None:
    with torch.device("meta"):
        network = backbones.get(backbone)().network(weights=False)
    task = prepare(Cell(network, EFT, 2, 0, torch.device("meta")), 1).take("task")
    statistics = sum(tensor.numel() for name, tensor in task.items() if "running" in name)
    assert statistics == 2 * channels
    assert sum(tensor.numel() for tensor in task.values()) - statistics == 92 * channels
    assert {tensor.dtype for tensor in task.values()} == {torch.float32}


def test_a_later_task_starts_where_the_one_before_ended(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], states: Callable[..., list[State]]
) -> None:
    """With a rate too small to change anything, the second task ends there too, but for the statistics."""
    cell = make_cell("eft")
    (one,) = states(cell, tiny_tasks[:1])
    still = Training(replace(EFT.recipe, lr=1e-30), epochs=1, batch_size=8)
    two = learn(cell, one, tiny_tasks[1], still).state
    initial = prepare(cell, 1).take("task")
    names = [name for name in one.tasks[1] if "running" not in name and not is_head(name)]
    assert len(names) == 2 * (4 + 2)
    for name in names:
        assert torch.equal(two.tasks[2][name], one.tasks[1][name])
        assert not torch.equal(one.tasks[1][name], initial[name])
