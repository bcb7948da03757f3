"""CCLL against its formula written out in plain operations, its start and its size."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from baselines.ccll import CCLL
from benchmark.backbones import backbones
from benchmark.learning.learner import Cell, prepare
from methods.network import Network


def normalise(x: Tensor, t: dict[str, Tensor], norm: str, training: bool) -> Tensor:
    mean = x.mean((0, 2, 3)) if training else t[f"{norm}.running_mean"]
    var = x.var((0, 2, 3), unbiased=False) if training else t[f"{norm}.running_var"]
    scale = t[f"{norm}.weight"] / (var + 1e-5).sqrt()
    return (x - mean[:, None, None]) * scale[:, None, None] + t[f"{norm}.bias"][:, None, None]


def spatial(c: Tensor, kernels: Tensor) -> Tensor:
    """c + DW(c), channel by channel."""
    return c + torch.cat([conv2d(c[:, i : i + 1], kernels[i : i + 1], padding=1) for i in range(c.shape[1])], 1)


def gated(u: Tensor, t: dict[str, Tensor], gate: str, training: bool) -> Tensor:
    pooled = t[f"{gate}.weight"] * u.sum((2, 3), keepdim=True) / (u.shape[2] * u.shape[3])
    return u / (1 + torch.exp(-normalise(pooled, t, f"{gate}.norm", training)))


def plain(x: Tensor, t: dict[str, Tensor], training: bool) -> Tensor:
    """The features [N, 6], from the tensors by their names."""
    c = conv2d(x, t["0.weight"], padding=1)
    u = normalise(spatial(c, t["0.spatial.weight"]), t, "1", training)
    x = gated(u, t, "1.gate", training).clamp(min=0)
    c = conv2d(x, t["3.weight"], t["3.bias"])
    u = spatial(c, t["3.spatial.weight"])
    return gated(u, t, "3.gate", training).clamp(min=0).mean((2, 3))


@pytest.mark.parametrize("training", [False, True])
def test_features_and_gradients_equal_the_formula(
    training: bool, mixed_network: Network, make_cell: Callable[..., Cell], assert_computes: Callable[..., set[str]]
) -> None:
    adapted = prepare(make_cell("ccll", network=mixed_network), 1).network.train(training)
    trained = assert_computes(adapted, lambda x, t: plain(x, t, training))
    assert len(trained) == 3 + 2 + 2 * 4, "the backbone's own; and DW, w, and scale and shift of BN', twice"


@pytest.mark.parametrize("training", [False, True])
def test_starts_exactly_as_the_backbone(training: bool, mixed_network: Network, make_cell: Callable[..., Cell]) -> None:
    adapted = prepare(make_cell("ccll", network=mixed_network), 1).network
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(adapted.train(training).features(images), mixed_network.train(training).features(images))


@pytest.mark.parametrize(("backbone", "channels"), [("resnet18", 4_800), ("resnet50", 26_560)])
def test_a_task_holds_14_values_per_channel_and_4_statistics(backbone: str, channels: int) -> None:
    with torch.device("meta"):
        network = backbones.get(backbone)().network(weights=False)
    task = prepare(Cell(network, CCLL, 2, 0, torch.device("meta")), 1).take("task")
    statistics = sum(tensor.numel() for name, tensor in task.items() if "running" in name)
    assert statistics == 4 * channels
    assert sum(tensor.numel() for tensor in task.values()) - statistics == 14 * channels
    assert {tensor.dtype for tensor in task.values()} == {torch.float32}
