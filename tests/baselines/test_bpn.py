"""BPN against its formula written out in plain operations, its start, its size, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d

from baselines.bpn import BPN
from benchmark.backbones import backbones
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell, prepare
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods.network import Network


def plain(x: Tensor, t: dict[str, Tensor], moving: bool) -> Tensor:
    """The features [N, 6]: b is as a bias of the convolution."""
    c = conv2d(x, t["0.weight"], t["0.bpn.bias"].flatten(), padding=1)
    statistics = t["1.running_mean"].clone(), t["1.running_var"].clone()
    x = batch_norm(c, *statistics, t["1.weight"], t["1.bias"], moving).clamp(min=0)
    c = conv2d(x, t["3.weight"], t["3.bias"] + t["3.bpn.bias"].flatten())
    return c.clamp(min=0).mean((2, 3))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("bn", ["frozen", "per-task"])
def test_features_and_gradients_equal_the_formula(
    bn: str,
    training: bool,
    mixed_network: Network,
    make_cell: Callable[..., Cell],
    assert_computes: Callable[..., set[str]],
) -> None:
    adapted = prepare(make_cell("bpn", network=mixed_network, bn=bn), 1).network.train(training)
    moving = training and bn == "per-task"
    trained = assert_computes(adapted, lambda x, t: plain(x, t, moving))
    biases = {"0.bpn.bias", "3.bpn.bias"}
    assert trained == (biases if bn == "frozen" else {*biases, "1.weight", "1.bias"})


def test_starts_exactly_as_the_backbone(mixed_network: Network, make_cell: Callable[..., Cell]) -> None:
    adapted = prepare(make_cell("bpn", network=mixed_network), 1).network
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(adapted.eval().features(images), mixed_network.eval().features(images))


@pytest.mark.parametrize(("backbone", "channels"), [("resnet18", 4_800), ("resnet50", 26_560)])
@pytest.mark.parametrize(("options", "each"), [({}, 1), ({"bn": "per-task"}, 5)])
def test_a_task_holds_a_value_per_channel(options: dict[str, str], each: int, backbone: str, channels: int) -> None:
    with torch.device("meta"):
        network = backbones.get(backbone)().network(weights=False)
    task = prepare(Cell(network, lambda: BPN(**options), 2, 0, torch.device("meta")), 1).take("task")
    assert sum(tensor.numel() for tensor in task.values()) == each * channels
    assert {tensor.dtype for tensor in task.values()} == {torch.float32}


@pytest.mark.parametrize("bn", ["frozen", "per-task"])
def test_earlier_tasks_logits_are_equal_bit_for_bit(
    bn: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], states: Callable[..., list[State]]
) -> None:
    cell = make_cell("bpn", bn=bn)
    after = states(cell, tiny_tasks)
    assert after[-1].shared == {}
    for number, task in enumerate(tiny_tasks, 1):
        with torch.no_grad():
            then, now = (
                network_for(cell, state, number, len(task.classes))(task.test.images)
                for state in (after[number - 1], after[-1])
            )
        assert torch.equal(then, now)
