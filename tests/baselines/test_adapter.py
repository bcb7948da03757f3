"""AdaptFormer against its formula in double precision, and its start, its places and its counts."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import get_model, maxvit_t, resnet18, swin_t, swin_v2_t

from baselines.adapter import AdaptFormer
from baselines.shared.adapters import Adapter, add_adapters
from benchmark.learning.learner import Cell, prepare
from methods.errors import UserError
from methods.network import Network

CPU = torch.device("cpu")


def test_a_transformer_computes_the_formula(vit: Network, plain_vit: Any, assert_computes: Callable[..., Any]) -> None:
    """With a scale of .7, in all blocks; gradients too."""

    class Adapted(plain_vit):
        def beside(self, name: str, x: Tensor) -> Tensor:
            down, down_bias, up, up_bias = (
                self.t[f"{name}.adapter.{n}"] for n in ("down", "down_bias", "up", "up_bias")
            )
            return x + 0.7 * ((x @ down.T + down_bias).clamp(min=0) @ up.T + up_bias)

    cell = Cell(vit, lambda: AdaptFormer(bottleneck=5, scale=0.7), 2, 0, CPU)
    network = prepare(cell, 1).network
    trained = assert_computes(network, lambda x, t: Adapted(t).features(x))
    blocks = [f"encoder.layers.encoder_layer_{i}.adapter" for i in range(3)]
    assert trained == {f"{b}.{n}" for b in blocks for n in ("down", "down_bias", "up", "up_bias")}


def test_a_convolution_computes_the_formula(assert_computes: Callable[..., Any]) -> None:
    """With a stride, beside the first and not beside the 1x1 convolution or the one that makes the image smaller."""
    torch.manual_seed(0)
    backbone = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 6, 1),
        nn.Conv2d(6, 4, 2, stride=2),
        nn.Flatten(),
    )
    network = Network(backbone, 16, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)).double()
    network = prepare(Cell(network, lambda: AdaptFormer(bottleneck=2, scale=0.7), 2, 0, CPU), 1).network

    def formula(x: Tensor, t: dict[str, Tensor]) -> Tensor:
        y = F.conv2d(x, t["0.weight"], t["0.bias"], stride=2, padding=1)
        down = torch.einsum("bc,nchw->nbhw", t["0.adapter.down"], x[:, :, ::2, ::2])
        hidden = (down + t["0.adapter.down_bias"].view(1, -1, 1, 1)).clamp(min=0)
        up = torch.einsum("cb,nbhw->nchw", t["0.adapter.up"], hidden) + t["0.adapter.up_bias"].view(1, -1, 1, 1)
        y = F.conv2d((y + 0.7 * up).clamp(min=0), t["2.weight"], t["2.bias"])
        return F.conv2d(y, t["3.weight"], t["3.bias"], stride=2).flatten(1)

    assert {name.partition(".adapter")[0] for name in assert_computes(network, formula)} == {"0"}


@pytest.mark.parametrize("build", [resnet18, swin_t, swin_v2_t])
def test_starts_exactly_as_the_backbone(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    backbone = build().eval()
    images = torch.rand(2, 3, 64, 64)
    adapted = copy.deepcopy(backbone)
    add_adapters(adapted, 4, 0.1, "adapter")
    with torch.no_grad():
        assert torch.equal(adapted(images), backbone(images))


@pytest.mark.parametrize("build", [swin_t, swin_v2_t], ids=["norm before", "norm after"])
def test_a_block_of_a_grid(build: Callable[[], nn.Module]) -> None:
    """Its answer is x + branch(x) + s * Up(ReLU(Down x)), where x is what its attention's branch gives."""
    torch.manual_seed(0)
    network = build().double().eval()
    block = network.features[1][1]
    x = torch.randn(2, 8, 8, 96, dtype=torch.float64)
    plain = block(x)
    attended = x + (block.norm1(block.attn(x)) if build is swin_v2_t else block.attn(block.norm1(x)))
    adapter = add_adapters(network, 4, 0.3, "adapter")[1]
    for parameter in adapter.parameters():
        nn.init.normal_(parameter)
    added = 0.3 * (F.relu(attended @ adapter.down.T + adapter.down_bias) @ adapter.up.T + adapter.up_bias)
    torch.testing.assert_close(block(x), plain + added, rtol=1e-10, atol=1e-10)


def test_a_block_with_windows_inside() -> None:
    """MaxViT's perceptron works on windows, and begins with its own norm."""
    torch.manual_seed(0)
    network = maxvit_t().double().eval()
    block = network.blocks[0].layers[0].layers.window_attention
    x = torch.randn(1, 64, 56, 56, dtype=torch.float64)
    plain, attended = block(x), []
    handle = block.mlp_layer.register_forward_pre_hook(lambda _, inputs: attended.append(inputs[0]))
    adapter = add_adapters(network, 4, 0.3, "adapter")[0]
    for parameter in adapter.parameters():
        nn.init.normal_(parameter)
    found = block(x)
    handle.remove()
    added = 0.3 * (F.relu(attended[0] @ adapter.down.T + adapter.down_bias) @ adapter.up.T + adapter.up_bias)
    added = block.departition_op(block.departition_swap(added), 7, 8, 8)
    torch.testing.assert_close(found, plain + added, rtol=1e-10, atol=1e-10)


def test_adapters_side_by_side(vit: Network) -> None:
    """Those that are active take part, and a copy of the network has its own."""
    pairs = [add_adapters(vit.backbone, 4, 0.1, "ease", name=f"adapter{i}") for i in (1, 2)]
    for adapter in (*pairs[0], *pairs[1]):
        nn.init.normal_(adapter.up)
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)

    def features(*active: bool) -> Tensor:
        for adapters, takes_part in zip(pairs, active, strict=True):
            for adapter in adapters:
                adapter.active = takes_part
        with torch.no_grad():
            return vit.features(images)

    plain, first, second, both = (
        features(False, False),
        features(True, False),
        features(False, True),
        features(True, True),
    )
    assert len({tuple(each.flatten().tolist()) for each in (plain, first, second, both)}) == 4
    twin = copy.deepcopy(vit)
    for adapter in twin.modules():
        if isinstance(adapter, Adapter):
            adapter.active = False
    with torch.no_grad():
        assert torch.equal(twin.features(images), plain)
        assert torch.equal(vit.features(images), both)


@pytest.mark.parametrize("network", ["vit_b_16", "resnet18"])
def test_nothing_is_held_after_a_pass(network: str) -> None:
    """Of the tokens that a hook keeps for the next one."""
    with torch.device("meta"):
        model = get_model(network, weights=None)
        adapters = add_adapters(model, 4, 0.1, "adapter")
        model(torch.empty(1, 3, 224, 224))
    assert adapters
    for adapter in adapters:
        assert not [value for value in vars(adapter).values() if isinstance(value, Tensor | tuple)]


def test_the_start_of_a_bottleneck() -> None:
    """Kaiming-uniform with a = sqrt(5): between -1/sqrt(D) and 1/sqrt(D); all else is zero."""
    torch.manual_seed(0)
    conv = nn.Conv2d(256, 8, 3, padding=1)
    (adapter,) = add_adapters(conv, 64, 0.1, "adapter")
    assert 0.99 < adapter.down.abs().max().item() * 256**0.5 <= 1
    assert not any(tensor.any() for tensor in (adapter.down_bias, adapter.up, adapter.up_bias))


def test_a_backbone_without_a_place_is_refused() -> None:
    network = Network(nn.Sequential(nn.Flatten(), nn.Linear(3, 5)), 5, (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(UserError, match=r"^adapter cannot be used on this backbone: it works on the blocks of a"):
        prepare(Cell(network, AdaptFormer, 2, 0, CPU), 1)


@pytest.mark.parametrize(
    ("options", "told"), [({"bottleneck": 0}, "bottleneck=0 must be at least 1"), ({"scale": 0.0}, "scale=0 must be")]
)
def test_options_that_make_no_sense(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        AdaptFormer(**options)
