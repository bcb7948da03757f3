"""SSF against its formula in double precision, its start, and a network with its values in the weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations
from torchvision.models import swin_t

from baselines.ssf import SSF, Scale, Shift
from benchmark.learning.learner import Cell, prepare
from benchmark.learning.operations import inference_operations_per_image
from methods.errors import UserError
from methods.network import Network

CPU = torch.device("cpu")


def adapted(network: Network, method: Callable[[], SSF] = SSF) -> Network:
    return prepare(Cell(network, method, 2, 0, CPU), 1).network


def test_a_transformer_computes_the_formula(vit: Network, plain_vit: Any, assert_computes: Callable[..., Any]) -> None:
    """gamma * y + beta after the patches, each norm, queries, keys and values, and each linear layer."""

    class Scaled(plain_vit):
        def after(self, name: str, y: Tensor, weight: str = "weight", bias: str = "bias") -> Tensor:
            gamma = self.t[f"{name}.parametrizations.{weight}.0.gamma"]
            return y * gamma + self.t[f"{name}.parametrizations.{bias}.0.beta"]

        def norm(self, name: str, x: Tensor) -> Tensor:
            return self.after(name, super().norm(name, x))

        def linear(self, name: str, x: Tensor, weight: str = "weight", bias: str = "bias") -> Tensor:
            return self.after(name, super().linear(name, x, weight, bias), weight, bias)

        def patches(self, images: Tensor) -> Tensor:
            return self.after("conv_proj", super().patches(images))

    def formula(images: Tensor, tensors: dict[str, Tensor]) -> Tensor:
        plain = {}
        for name, tensor in tensors.items():
            owner, found, rest = name.rpartition(".parametrizations.")
            plain[f"{owner}.{rest.removesuffix('.original')}" if found and rest.endswith(".original") else name] = (
                tensor
            )
        return Scaled(plain).features(images)

    trained = assert_computes(adapted(vit), formula)
    assert len(trained) == 2 * (1 + 3 * 6 + 1)
    assert all(name.endswith((".gamma", ".beta")) for name in trained)


def test_convolutions_and_batch_normalisation_compute_the_formula(assert_computes: Callable[..., Any]) -> None:
    """With a bias, and without one."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(6)
    norm.num_batches_tracked = None
    backbone = nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=False), norm, nn.Conv2d(6, 4, 6), nn.Flatten(), nn.Linear(4, 5, False)
    )
    network = Network(backbone, 5, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)).double().eval()

    def formula(x: Tensor, t: dict[str, Tensor]) -> Tensor:
        def after(i: int, y: Tensor, beta: str = "parametrizations.bias.0.beta") -> Tensor:
            places = (1, -1, 1, 1)[: y.ndim]
            return y * t[f"{i}.parametrizations.weight.0.gamma"].view(places) + t[f"{i}.{beta}"].view(places)

        given = {i: t[f"{i}.parametrizations.weight.original"] for i in (0, 1, 2, 4)}
        x = after(0, F.conv2d(x, given[0]), "shift.beta")
        mean, deviation = (t[f"1.running_{n}"].view(1, -1, 1, 1) for n in ("mean", "var"))
        bias = t["1.parametrizations.bias.original"]
        x = (x - mean) / (deviation + 1e-5).sqrt() * given[1].view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)
        x = after(2, F.conv2d(after(1, x), given[2], t["2.parametrizations.bias.original"]))
        return after(4, x.flatten(1) @ given[4].T, "shift.beta")

    assert len(assert_computes(adapted(network), formula)) == 8


class StandardisedConv(nn.Conv2d):
    """As timm's: a factor of the weight would change nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, standardised(self.weight), self.bias)


def standardised(weight: Tensor) -> Tensor:
    centred = weight - weight.mean((1, 2, 3), keepdim=True)
    return centred / (centred.square().mean((1, 2, 3), keepdim=True) + 1e-6).sqrt()


class RmsNorm2d(nn.Module):
    """As timm's: a norm of images [N, C, H, W] without a bias."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x / (x.square().mean(1, keepdim=True) + 1e-6).sqrt() * self.weight.view(-1, 1, 1)


def test_layers_that_are_not_torchs_compute_the_formula(assert_computes: Callable[..., Any]) -> None:
    """A convolution of a standardised weight, and a norm of images without a bias."""
    torch.manual_seed(0)
    backbone = nn.Sequential(StandardisedConv(3, 6, 3), RmsNorm2d(6), nn.Flatten())
    network = Network(backbone, 216, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)).double().eval()

    def formula(x: Tensor, t: dict[str, Tensor]) -> Tensor:
        def after(y: Tensor, gamma: str, beta: str) -> Tensor:
            return y * t[gamma].view(-1, 1, 1) + t[beta].view(-1, 1, 1)

        x = after(F.conv2d(x, standardised(t["0.weight"]), t["0.bias"]), "0.shift.scale.gamma", "0.shift.beta")
        weight = t["1.parametrizations.weight.original"].view(-1, 1, 1)
        x = x / (x.square().mean(1, keepdim=True) + 1e-6).sqrt() * weight
        return after(x, "1.parametrizations.weight.0.gamma", "1.shift.beta").flatten(1)

    assert len(assert_computes(adapted(network), formula)) == 4


def test_the_start() -> None:
    """Gamma around 1 and beta around 0, with a standard deviation of .02."""
    torch.manual_seed(0)
    shift = Shift(Scale(torch.zeros(20_000, 3)))
    for values, mean in ((shift.scale.gamma, 1), (shift.beta, 0)):
        assert values.mean().item() == pytest.approx(mean, abs=1e-3)
        assert values.std().item() == pytest.approx(0.02, rel=0.02)


def folded(network: Network) -> Network:
    """The network with the method's values in the weights and biases of its layers, and nothing of the method left."""
    plain = copy.deepcopy(network)
    for module in list(plain.modules()):
        beta = module._modules.pop("shift").beta if "shift" in dict(module.named_children()) else None
        if is_parametrized(module):
            for name in list(module.parametrizations):
                remove_parametrizations(module, name)
        if beta is not None:
            module._forward_hooks.clear()
            module.bias = nn.Parameter(beta.detach().clone())
    return plain


@pytest.mark.parametrize("kind", ["vit", "tiny_network"])
def test_it_can_be_folded_into_the_weights(kind: str, request: pytest.FixtureRequest) -> None:
    """The folded network has the layers of the backbone, answers the same, and needs its operations."""
    network = request.getfixturevalue(kind).eval()
    cell = Cell(network, SSF, 2, 0, CPU)
    own = prepare(cell, 1).network.eval()
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    operations = inference_operations_per_image(network, 3, 8)
    assert inference_operations_per_image(own, 3, 8) == operations
    with torch.no_grad():
        given, expected = network.features(images), own.features(images)
    assert not torch.allclose(given, expected, rtol=1e-3)

    plain = folded(own)
    assert [type(m) for m in plain.modules()] == [type(m) for m in network.modules()]
    with torch.no_grad():
        torch.testing.assert_close(plain.features(images), expected, rtol=1e-5, atol=1e-6)
    assert inference_operations_per_image(plain, 3, 8) == operations


def test_swin_uses_its_queries_keys_and_values_too() -> None:
    """Its attention takes the weight of the layer `qkv`, and never calls it."""
    torch.manual_seed(0)
    backbone = swin_t()
    backbone.head = nn.Identity()
    network = adapted(Network(backbone, 768, mean=(0.5,) * 3, std=(0.25,) * 3))
    network.features(torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)).sum().backward()
    block = network.backbone.features[1][0].attn.qkv.parametrizations
    for parameter in (block.weight[0].gamma, block.bias[0].beta):
        assert parameter.shape == (3 * 96,)
        assert parameter.grad.abs().sum() > 0


class OwnBias(nn.Module):
    """As timm's: the layer `qkv` has no bias, and is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(4, 12, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.qkv.weight)


@pytest.mark.parametrize("attention", [OwnBias(), nn.MultiheadAttention(4, 2, bias=False)])
def test_nothing_is_trained_that_attention_does_not_use(attention: nn.Module) -> None:
    SSF().adapt(attention)
    assert sum(isinstance(module, Scale) for module in attention.modules()) >= 1
    assert not [
        name for name, _ in attention.named_parameters() if name.startswith("qkv.shift") or name == "shift.beta"
    ]


@pytest.mark.parametrize(("bn", "statistics"), [("frozen", set()), ("per-task", {"running_mean", "running_var"})])
def test_statistics_of_batch_normalisation(bn: Any, statistics: set[str], tiny_network: Network) -> None:
    parts = prepare(Cell(tiny_network, lambda: SSF(bn), 2, 0, CPU), 1).parts
    own = {name.rpartition(".")[2] for name, part in parts.items() if part == "task"}
    assert own == {"gamma", "beta"} | statistics
    assert sum(".original" in name for name in parts) == 2 + 2 * 2


def test_a_backbone_without_weights_is_refused() -> None:
    network = Network(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), 3, (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(UserError, match=r"^ssf cannot be used on this backbone: it works on layers with a weight"):
        adapted(network)
