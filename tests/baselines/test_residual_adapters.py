"""Residual adapters against plain convolutions in double precision, and where they stand."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet18

from baselines.residual_adapters import Adapter, ResidualAdapters
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell, prepare
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods.network import Network

NORMALISATION = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}


@pytest.fixture
def network() -> Network:
    """Two strided 3x3 convolutions, batch normalisation between them, in double precision."""
    torch.manual_seed(0)
    backbone = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 5, 3, stride=(1, 2), padding=(2, 1), dilation=(2, 1)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    return Network(backbone, 5, **NORMALISATION).double()


def norm(y: Tensor, w: dict[str, Tensor], name: str) -> Tensor:
    """Batch normalisation by the batch."""
    mean, variance = y.mean((0, 2, 3), keepdim=True), y.var((0, 2, 3), keepdim=True, correction=0)
    normed = (y - mean) / (variance + 1e-5).sqrt()
    return normed * w[f"{name}.weight"][:, None, None] + w[f"{name}.bias"][:, None, None]


def plain(x: Tensor, w: dict[str, Tensor], form: str) -> Tensor:
    """The definition, written without modules: the authors' adapter in series normalises its own input."""

    def adapted(y: Tensor, x: Tensor, name: str) -> Tensor:
        return y + F.conv2d(norm(y, w, f"{name}.norm") if form == "series" else x, w[f"{name}.weight"])

    y = adapted(F.conv2d(x, w["0.weight"], stride=2, padding=1), x[..., ::2, ::2], "0.adapter")
    x = norm(y, w, "1").relu()
    y = F.conv2d(x, w["3.weight"], w["3.bias"], stride=(1, 2), padding=(2, 1), dilation=(2, 1))
    return adapted(y, x[..., ::2], "3.adapter").mean((2, 3))


@pytest.mark.parametrize("form", ["series", "parallel"])
def test_features_and_gradients_equal_the_definition(form: str, network: Network) -> None:
    ResidualAdapters(form).adapt(network)
    for module in network.modules():
        if isinstance(module, Adapter):
            nn.init.normal_(module.weight, std=0.3)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    w = {name: p.detach().clone().requires_grad_() for name, p in network.backbone.named_parameters()}
    assert ("0.adapter.norm.weight" in w) == ("3.adapter.norm.weight" in w) == (form == "series")
    x, direction = torch.randn(4, 3, 9, 9, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    features, expected = network.train().backbone(x), plain(x, w, form)
    torch.testing.assert_close(features, expected, rtol=1e-9, atol=1e-12)
    (features * direction).sum().backward()
    (expected * direction).sum().backward()
    for name, parameter in network.backbone.named_parameters():
        torch.testing.assert_close(parameter.grad, w[name].grad, rtol=1e-8, atol=1e-11, msg=name)


def test_answers_use_the_adapters_running_statistics(network: Network) -> None:
    """And these follow the batches of training, as .9 r + .1 of the batch's, from 0 and 1."""
    ResidualAdapters().adapt(network)
    nn.init.normal_(network.backbone[0].adapter.weight, std=0.3)
    x = torch.randn(4, 3, 9, 9, dtype=torch.float64)
    w = dict(network.backbone.named_parameters())
    y = F.conv2d(x, w["0.weight"], stride=2, padding=1).detach()
    network.train().backbone(x)
    mean, variance = 0.1 * y.mean((0, 2, 3)), 0.9 + 0.1 * y.var((0, 2, 3))
    found = network.eval().backbone[0](x)
    normed = (y - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
    torch.testing.assert_close(found, y + F.conv2d(normed, w["0.adapter.weight"]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("spec", ["residual-adapters", "residual-adapters:bn=frozen"])
def test_the_adapters_normalisation_belongs_to_the_task(
    spec: str, make_cell: Callable[..., Cell], states: Callable[..., list[State]], tiny_tasks: tuple[Task, ...]
) -> None:
    """Its weights and statistics are stored per task, and later tasks change no bit of what an earlier one answers."""
    cell = make_cell(spec)
    found = states(cell, tiny_tasks)
    images = tiny_tasks[0].test.images
    answers = [network_for(cell, state, 1, 3)(images) for state in found]
    assert all(torch.equal(answers[0], later) for later in answers[1:])
    for name in ("weight", "bias", "running_mean", "running_var"):
        own = [found[-1].tasks[task][f"backbone.0.adapter.norm.{name}"] for task in (1, 2)]
        assert own[0].shape == (6,)
        assert not torch.equal(*own)


@pytest.mark.parametrize("form", ["series", "parallel"])
def test_starts_exactly_as_the_backbone(form: str, network: Network) -> None:
    x = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    given = network.eval().backbone(x)
    ResidualAdapters(form).adapt(network)
    assert torch.equal(network.backbone(x), given)


def values(network: Network, **options: str) -> int:
    cell = Cell(network, lambda: ResidualAdapters(**options), 2, 0, torch.device("cpu"))
    return sum(tensor.numel() for tensor in prepare(cell, 1).take("task").values())


def test_values_of_a_task_on_resnet18() -> None:
    """Beside the backbone's batch normalisation, C_out^2 + 4 C_out or C_in C_out of the 17 that are no 1x1."""
    backbone = resnet18()
    backbone.fc = nn.Identity()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.num_batches_tracked = None
    network = Network(backbone, 512, **NORMALISATION)
    series = sum(count * (c**2 + 4 * c) for count, c in ((5, 64), (4, 128), (4, 256), (4, 512)))
    parallel = 3 * 64 + 4 * 64**2 + sum(c // 2 * c + 3 * c**2 for c in (128, 256, 512))
    assert values(network) == series + 4 * 4_800
    assert values(network, bn="frozen") == series
    assert values(network, form="parallel", bn="frozen") == parallel


@pytest.mark.parametrize(
    ("conv", "series", "parallel"),
    [
        (nn.Conv2d(4, 6, 3, padding=1), True, True),
        (nn.Conv2d(4, 6, (1, 3), padding=(0, 1), stride=3), True, True),
        (nn.Conv2d(4, 6, 5, padding="same", dilation=2), True, True),
        (nn.Conv2d(4, 6, 3), True, False),
        (nn.Conv2d(4, 6, 3, padding="valid"), True, False),
        (nn.Conv2d(4, 6, 3, padding=1, dilation=2), True, False),
        (nn.Conv2d(4, 6, 2, padding=1), True, False),
        (nn.Conv2d(4, 6, 3, padding=1, groups=2), False, False),
        (nn.Conv2d(4, 6, 1), False, False),
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [15, 16])
def test_where_an_adapter_stands(conv: nn.Conv2d, series: bool, parallel: bool, size: int) -> None:
    """And where it does, the network runs: sizes agree whatever the image's."""
    for form, stands in (("series", series), ("parallel", parallel)):
        # The last one has an adapter in any case.
        backbone = nn.Sequential(copy.deepcopy(conv), nn.Conv2d(6, 6, 3, padding=1))
        ResidualAdapters(form).adapt(backbone)
        assert hasattr(backbone[0], "adapter") == stands
        backbone(torch.ones(1, 4, size, size))
