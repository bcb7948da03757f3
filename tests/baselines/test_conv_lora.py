"""Low-rank adaptation against W + B A in double precision, its start and its size."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet18

from baselines.conv_lora import ConvLoRA
from baselines.shared.low_rank import LowRank
from benchmark.learning.learner import Cell, learn, prepare, start
from benchmark.learning.training import Training
from benchmark.streams.base import Task
from methods.network import Network

NORMALISATION = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_output_and_gradients_equal_the_definition(groups: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=groups).double()
    weight, bias = conv.weight.detach().clone(), conv.bias.detach().clone()
    ConvLoRA(rank=3).adapt(nn.Sequential(conv))
    low_rank = conv.parametrizations.weight[0]
    nn.init.normal_(low_rank.up)
    a, b = (p.detach().clone().requires_grad_() for p in (low_rank.down, low_rank.up))
    assert a.shape == (3, 4 // groups * 9)
    assert b.shape == (8, 3)

    x = torch.randn(2, 4, 7, 7, dtype=torch.float64)
    # Entry by entry: W[o, i, u, v] + sum_r B[o, r] A[r, (i, u, v)].
    changed = weight + torch.einsum("or,riuv->oiuv", b, a.view(3, 4 // groups, 3, 3))
    expected = F.conv2d(x, changed, bias, stride=2, padding=1, groups=groups)
    output = conv(x)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    direction = torch.randn_like(expected)
    (output * direction).sum().backward()
    (expected * direction).sum().backward()
    torch.testing.assert_close(low_rank.down.grad, a.grad, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(low_rank.up.grad, b.grad, rtol=1e-10, atol=1e-12)


@pytest.fixture(scope="module")
def resnet() -> Network:
    torch.manual_seed(0)
    backbone = resnet18()
    backbone.fc = nn.Identity()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.num_batches_tracked = None
    return Network(backbone, 512, **NORMALISATION)


def test_starts_exactly_as_the_backbone(resnet: Network) -> None:
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    network = copy.deepcopy(resnet)
    ConvLoRA().adapt(network)
    with torch.no_grad():
        assert torch.equal(network.eval().features(images), resnet.eval().features(images))


@pytest.mark.parametrize("rank", [1, 4])
@pytest.mark.parametrize(("bn", "norms"), [("frozen", 0), ("per-task", 4 * 4_800)])
def test_values_of_a_task_on_resnet18(rank: int, bn: str, norms: int, resnet: Network) -> None:
    cell = Cell(resnet, lambda: ConvLoRA(rank, bn), 2, 0, torch.device("cpu"))
    task = prepare(cell, 1).take("task")
    assert sum(tensor.numel() for tensor in task.values()) == rank * (31_123 + 4_800) + norms


def test_all_tasks_start_at_the_same_random_values(make_cell: Callable[..., Cell]) -> None:
    one, two = (prepare(make_cell("conv-lora"), task).take("task") for task in (1, 2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert all(tensor.any() == name.endswith(".down") for name, tensor in one.items())


def test_only_the_low_rank_part_is_trained(make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    cell = make_cell("conv-lora", rank=2)
    state = learn(cell, start(cell), tiny_tasks[0], Training(ConvLoRA.recipe, epochs=1, batch_size=8)).state
    initial = prepare(cell, 1).take("task")
    moved = {name for name in initial if not torch.equal(state.tasks[1][name], initial[name])}
    assert moved == {f"backbone.{i}.parametrizations.weight.0.{part}" for i in (0, 3) for part in ("down", "up")}
    assert state.shared == {}


def test_a_rank_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="rank=0 must be at least 1"):
        ConvLoRA(rank=0)


def test_initial_spread_is_that_of_a_convolution() -> None:
    """Kaiming-uniform as torch draws a convolution's weights: between -1/sqrt(K) and 1/sqrt(K)."""
    torch.manual_seed(0)
    down = LowRank(torch.zeros(8, 64, 3, 3), rank=4).down
    assert 0.99 < down.abs().max().item() * (64 * 9) ** 0.5 <= 1
