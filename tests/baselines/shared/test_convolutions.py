"""Which normalisation follows which convolution, against what a forward pass does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import get_model

from baselines.shared.convolutions import convolutions, norm_after
from methods.method import BatchNorm
from methods.network import Network


def traced_pairs(network: nn.Module, size: int) -> dict[nn.Module, nn.Module]:
    """Convolution -> the batch normalisation that is given the very tensor that the convolution made."""
    made: list[tuple[nn.Module, Tensor]] = []
    pairs: dict[nn.Module, nn.Module] = {}

    def after(conv: nn.Module, inputs: Any, output: Tensor) -> None:
        made.append((conv, output))

    def before(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        pairs.update((conv, norm) for conv, output in made if output is inputs[0])

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(after)
        elif isinstance(module, BatchNorm):
            module.register_forward_pre_hook(before)
    network.eval()(torch.empty(1, 3, size, size, device="meta"))
    return pairs


@pytest.mark.parametrize(
    ("name", "pairs"),
    [
        ("resnet18", 20),
        ("densenet121", 59),
        ("mobilenet_v2", 52),
        ("vgg11", 0),
        ("vgg11_bn", 8),
        ("shufflenet_v2_x0_5", 56),
    ],
)
def test_norm_after_is_what_a_forward_pass_shows(name: str, pairs: int) -> None:
    """In DenseNet half of the convolutions are pooled, or joined with others, before they are normalised: no pair."""
    with torch.device("meta"):
        network = get_model(name)
    found = norm_after(network)
    assert found == traced_pairs(network, 64)
    assert len(found) == pairs


def test_all_convolutions_in_order(tiny_network: Network) -> None:
    assert convolutions(tiny_network) == [tiny_network.backbone[0], tiny_network.backbone[3]]
    assert norm_after(tiny_network) == {tiny_network.backbone[i]: tiny_network.backbone[i + 1] for i in (0, 3)}


def test_a_normalisation_of_other_channels_is_no_pair() -> None:
    conv = nn.Conv2d(3, 4, 1)
    assert norm_after(nn.Sequential(conv, nn.BatchNorm2d(5))) == {}
    assert norm_after(nn.Sequential(conv, nn.ReLU(), nn.BatchNorm2d(4))) == {}
