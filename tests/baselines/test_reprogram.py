"""Adversarial reprogramming against backbone(x + tanh(theta)), and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn.functional import interpolate

from baselines.reprogram import Reprogram, stretch
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell, learn, prepare, start
from benchmark.learning.training import Training
from benchmark.streams.base import Task
from methods.network import Network

IMAGES = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [8, 5, 12])
def test_features_and_gradient_equal_the_definition(size: int, tiny_network: Network) -> None:
    """The normalised image is x = (pixel / 255 - 0.5) / 0.25; at size 8 nothing is stretched."""
    network = tiny_network.double().eval()
    network.scale = torch.full((1, 3, 1, 1), 1 / (255 * 0.25), dtype=torch.float64)  # not rounded to single precision
    plain = list(network.backbone)
    Reprogram(size).adapt(network)
    live = network.backbone.theta
    torch.nn.init.normal_(live)
    theta = live.detach().clone().requires_grad_()
    stretched = theta if size == 8 else interpolate(theta[None], (8, 8), mode="bilinear", align_corners=False)[0]
    expected = (IMAGES.double() / 255 - 0.5) / 0.25 + torch.tanh(stretched)
    for layer in plain:
        expected = layer(expected)
    features = network.features(IMAGES)
    torch.testing.assert_close(features, expected, rtol=1e-10, atol=1e-12)
    direction = torch.randn_like(expected)
    (features * direction).sum().backward()
    (expected * direction).sum().backward()
    torch.testing.assert_close(live.grad, theta.grad, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("size", [1, 7, 8, 32, 224])
def test_stretching_is_bilinear_interpolation(size: int) -> None:
    theta = torch.randn(3, 32, 32, dtype=torch.float64)
    expected = interpolate(theta[None], (size, size), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(stretch(theta, size), expected, rtol=1e-12, atol=1e-12)


def test_starts_exactly_as_the_backbone(tiny_network: Network) -> None:
    given = tiny_network.eval().features(IMAGES)
    Reprogram(size=20).adapt(tiny_network)
    assert torch.equal(tiny_network.features(IMAGES), given)


@pytest.mark.parametrize("size", [32, 5])
def test_a_task_holds_the_perturbation_alone(size: int, make_cell: Callable[..., Cell]) -> None:
    task = prepare(make_cell("reprogram", size=size), 1).take("task")
    assert {name: tensor.numel() for name, tensor in task.items()} == {"backbone.theta": 3 * size * size}


def test_the_backbone_does_not_move_but_the_perturbation_does(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    """Statistics of batch normalisation included."""
    cell = make_cell("reprogram")
    state = learn(cell, start(cell), tiny_tasks[0], Training(Reprogram.recipe, epochs=2, batch_size=8)).state
    network = network_for(cell, state, 1, 3)
    assert network.backbone.theta.any()
    given = {name: tensor for name, _, tensor in cell.pristine.tensors()}
    live = {name: tensor for name, _, tensor in network.tensors() if name != "backbone.theta"}
    assert live.keys() == given.keys()
    assert all(torch.equal(live[name], given[name]) for name in given)


def test_a_size_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="size=0 must be at least 1"):
        Reprogram(size=0)
