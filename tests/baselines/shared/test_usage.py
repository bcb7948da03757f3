"""The probe that follows the usage of channels through a network."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v3_small
from torchvision.models.convnext import CNBlock
from torchvision.models.resnet import BasicBlock

from baselines.shared.usage import input_usage, weight_usage


def gates(*values: float) -> Tensor:
    return torch.tensor(values)


def test_follows_convolution_normalisation_and_activation() -> None:
    first, second = nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(2, 4, 1)
    norm = nn.BatchNorm2d(2)
    backbone = nn.Sequential(first, norm, nn.Hardswish(inplace=True), nn.MaxPool2d(3, 2, 1), second)
    usage = input_usage(backbone, {norm: gates(0.25, 0.75), second: torch.ones(4)}, image_size=8)
    assert usage.keys() == {first, second}
    assert usage[first].tolist() == [1, 1, 1], "an image uses all its channels"
    assert usage[second].tolist() == [0.25, 0.75]


def test_a_skip_connection_adds_up_to_one() -> None:
    """The second block's input is the first block's output: what its skip carries, and what it adds to that."""
    stem, one, two = nn.Conv2d(3, 4, 3, padding=1), BasicBlock(4, 4), BasicBlock(4, 4)
    used = {
        stem: gates(0, 0.3, 1, 0.8),
        one.bn1: gates(0.1, 0.2, 0.3, 0.4),
        one.bn2: gates(0, 0.25, 1, 0.7),
        two.bn1: torch.zeros(4),
        two.bn2: torch.zeros(4),
    }
    usage = input_usage(nn.Sequential(stem, one, two), used, image_size=8)
    torch.testing.assert_close(usage[one.conv1], gates(0, 0.3, 1, 0.8))
    torch.testing.assert_close(usage[one.conv2], gates(0.1, 0.2, 0.3, 0.4))
    torch.testing.assert_close(usage[two.conv1], gates(0, 0.55, 1, 1))
    torch.testing.assert_close(usage[two.conv2], torch.zeros(4))


def test_concatenation_keeps_the_order_and_borders_do_not_lower_the_mean() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 1, 1), nn.Conv2d(3, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            both = torch.cat([self.b(x), self.a(x)], 1)
            return self.c(nn.functional.avg_pool2d(both, 3, 1, padding=1))

    backbone = Both()
    used = {backbone.a: gates(0.25, 0.5), backbone.b: gates(0.75), backbone.c: torch.ones(2)}
    torch.testing.assert_close(input_usage(backbone, used, image_size=8)[backbone.c], gates(0.75, 0.25, 0.5))


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(2), nn.LayerNorm([2, 8, 8]), nn.Sigmoid(), nn.Hardsigmoid()], ids=str)
def test_a_layer_that_makes_something_of_zero_uses_all_its_channels(layer: nn.Module) -> None:
    first, second = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 1)
    if isinstance(layer, nn.BatchNorm2d):
        layer.running_mean.fill_(5)
    usage = input_usage(nn.Sequential(first, layer, second), {first: gates(0, 0.5)}, image_size=8)
    assert usage[second].tolist() == [1, 1]


def test_linear_layers_use_all_their_channels_however_little_they_are_scaled() -> None:
    """In a block of ConvNeXt: depthwise convolution, normalisation, two linear layers, times 1e-6, plus its input."""
    stem, block, last = nn.Conv2d(3, 2, 1), CNBlock(2, layer_scale=1e-6, stochastic_depth_prob=0.0), nn.Conv2d(2, 2, 1)
    used = {stem: gates(0, 0.5), block.block[0]: gates(0, 0.5)}
    usage = input_usage(nn.Sequential(stem, block, last), used, image_size=8)
    assert usage[block.block[0]].tolist() == [0, 0.5]
    assert usage[last].tolist() == [1, 1]


def test_squeeze_and_excitation_does_not_hide_what_it_scales() -> None:
    """In the first block of MobileNetV3 it stands between the depthwise and the 1x1 convolution."""
    backbone = mobilenet_v3_small()
    depthwise, squeeze, project = backbone.features[1].block
    used = {depthwise[1]: (torch.arange(16) % 2).float(), squeeze.fc1: torch.zeros(8), squeeze.fc2: torch.zeros(16)}
    usage = input_usage(backbone, used, image_size=32)
    assert torch.equal(usage[project[0]], used[depthwise[1]])


def test_leaves_the_backbone_alone() -> None:
    backbone = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.SiLU()).train()
    before, x = copy.deepcopy(backbone), torch.rand(2, 3, 8, 8)
    input_usage(backbone, {backbone[1]: gates(0, 1)}, image_size=8)
    assert backbone.training
    assert torch.equal(backbone(x), before(x))


def test_runs_on_tensors_without_data() -> None:
    with torch.device("meta"):
        backbone = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.SiLU(), nn.Conv2d(2, 2, 3))
        usage = input_usage(backbone, {backbone[1]: torch.ones(2)}, image_size=8)
    assert {conv: tuple(values.shape) for conv, values in usage.items()} == {backbone[0]: (3,), backbone[3]: (2,)}


def test_a_weight_is_used_as_much_as_the_less_used_of_its_channels() -> None:
    found = weight_usage(nn.Conv2d(3, 2, 5), gates(0.5, 0.9), gates(0, 0.7, 1))
    assert found.shape == (2, 3, 1, 1)
    torch.testing.assert_close(found[:, :, 0, 0], torch.tensor([[0, 0.5, 0.5], [0, 0.7, 0.9]]))


def test_a_grouped_weight_belongs_to_its_own_groups_inputs() -> None:
    """Outputs 0 and 1 see inputs 0 and 1, outputs 2 and 3 see inputs 2 and 3."""
    found = weight_usage(nn.Conv2d(4, 4, 3, groups=2), torch.ones(4), gates(0.1, 0.2, 0.3, 0.4))
    torch.testing.assert_close(found[:, :, 0, 0], torch.tensor([[0.1, 0.2], [0.1, 0.2], [0.3, 0.4], [0.3, 0.4]]))
