"""Residual adapters against plain convolutions in double precision, and where they stand."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet18

from baselines.residual_adapters import Adapter, ResidualAdapters
from benchmark.learning.learner import Cell, prepare
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


def plain(x: Tensor, w: dict[str, Tensor], form: str) -> Tensor:
    """The definition, written without modules."""
    y = F.conv2d(x, w["0.weight"], stride=2, padding=1)
    y = y + F.conv2d(y if form == "series" else x[..., ::2, ::2], w["0.adapter.weight"])
    mean, variance = y.mean((0, 2, 3), keepdim=True), y.var((0, 2, 3), keepdim=True, correction=0)
    y = (y - mean) / (variance + 1e-5).sqrt() * w["1.weight"][:, None, None] + w["1.bias"][:, None, None]
    x = y.relu()
    y = F.conv2d(x, w["3.weight"], w["3.bias"], stride=(1, 2), padding=(2, 1), dilation=(2, 1))
    y = y + F.conv2d(y if form == "series" else x[..., ::2], w["3.adapter.weight"])
    return y.mean((2, 3))


@pytest.mark.parametrize("form", ["series", "parallel"])
def test_features_and_gradients_equal_the_definition(form: str, network: Network) -> None:
    ResidualAdapters(form).adapt(network)
    for module in network.modules():
        if isinstance(module, Adapter):
            nn.init.normal_(module.weight, std=0.3)
    w = {name: p.detach().clone().requires_grad_() for name, p in network.backbone.named_parameters()}
    x, direction = torch.randn(4, 3, 9, 9, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    features, expected = network.train().backbone(x), plain(x, w, form)
    torch.testing.assert_close(features, expected, rtol=1e-9, atol=1e-12)
    (features * direction).sum().backward()
    (expected * direction).sum().backward()
    for name in ("0.adapter.weight", "3.adapter.weight", "1.weight"):
        torch.testing.assert_close(network.backbone.get_parameter(name).grad, w[name].grad, rtol=1e-8, atol=1e-11)


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
    """Beside batch normalisation, C_out^2 or C_in C_out of the 17 convolutions that are not 1x1."""
    backbone = resnet18()
    backbone.fc = nn.Identity()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.num_batches_tracked = None
    network = Network(backbone, 512, **NORMALISATION)
    series = 5 * 64**2 + 4 * 128**2 + 4 * 256**2 + 4 * 512**2
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
