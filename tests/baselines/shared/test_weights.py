"""The weights of layers: all of them, in any network, and what a mask or a context does to those of attention."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torchvision.models import MaxVit, SwinTransformer, VisionTransformer, get_model

from baselines.packnet import PackNet
from baselines.piggyback import Piggyback
from baselines.psp import PSP, Context
from baselines.shared.convolutions import convolutions, convolutions_for
from baselines.shared.masks import Mask
from baselines.shared.ownership import Ownership
from baselines.shared.weights import plain_weights, weights, weights_for
from baselines.supsup import SupSup
from methods.errors import UserError
from methods.method import Method


def numbers(network: nn.Module) -> int:
    return sum(getattr(layer, name).numel() for layer, name in weights(network))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # 16 x 16 x 3 x 768, and for each of 12 blocks 4 D^2 of attention and 8 D^2 of the perceptron.
        ("vit_b_16", 768 * 768 + 12 * 12 * 768**2 + 768 * 1000),
        # Depthwise 7x7, D x 4D twice: 3, 3, 9 and 3 blocks of 96 to 768 channels; a stem 4x4, and three steps 2x2.
        (
            "convnext_tiny",
            96 * 48
            + sum(blocks * (49 * d + 8 * d * d) for blocks, d in ((3, 96), (3, 192), (9, 384), (3, 768)))
            + 4 * (96 * 192 + 192 * 384 + 384 * 768)
            + 768 * 1000,
        ),
    ],
)
def test_the_weights_of_published_networks(name: str, expected: int) -> None:
    with torch.device("meta"):
        assert numbers(get_model(name)) == expected


@pytest.mark.parametrize(
    "name", ["resnet18", "densenet121", "efficientnet_b0", "mobilenet_v3_small", "shufflenet_v2_x0_5"]
)
def test_a_convolutional_network_has_those_of_its_convolutions(name: str) -> None:
    with torch.device("meta"):
        network = get_model(name)
    for classifier in ("fc", "classifier"):  # it is no part of a backbone
        setattr(network, classifier, nn.Identity())
    assert weights(network) == [(layer, "weight") for layer in convolutions(network)]


def test_attention_with_keys_of_another_length_has_three_matrices() -> None:
    attention = nn.MultiheadAttention(8, 2, kdim=6, vdim=4)
    assert [name for _, name in weights(attention)] == ["q_proj_weight", "k_proj_weight", "v_proj_weight", "weight"]
    assert numbers(attention) == 64 + 48 + 32 + 64


def attended(x: Tensor, qkv: Tensor, of_qkv: Tensor, out: Tensor, of_out: Tensor, heads: int) -> Tensor:
    """Attention as it is published: softmax(q k^T / sqrt(E)) v in each head, then a projection; x is [N, L, D]."""
    n, length, width = x.shape
    q, k, v = (x @ qkv.T + of_qkv).view(n, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    scores = torch.einsum("nhie,nhje->nhij", q, k) / (width // heads) ** 0.5
    mixed = torch.einsum("nhij,nhje->nhie", scores.exp() / scores.exp().sum(-1, keepdim=True), v)
    return mixed.transpose(1, 2).reshape(n, length, width) @ out.T + of_out


class OneAttention(nn.Module):
    """Tokens [N, L, 8] look at each other, and then at all their values."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.attention(x, x, x, need_weights=False)[0]
        return mixed


class Holder(nn.Module):
    """What a method needs of a network."""

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone


def adapted(method: Method, task: int) -> tuple[Holder, dict[str, Tensor]]:
    """Attention in double precision that a method has changed, and its tensors before."""
    torch.manual_seed(0)
    network = Holder(OneAttention().double())
    for tensor in network.parameters():
        nn.init.normal_(tensor)
    before = {name: tensor.detach().clone() for name, tensor in network.named_parameters()}
    method.task, method.generator = task, torch.Generator().manual_seed(1)
    method.adapt(network)  # type: ignore[arg-type]
    return network, before


def added(network: Holder, kind: type[nn.Module]) -> list[Any]:
    """What a method added to the first and to the second matrix of attention."""
    attention = network.backbone.attention
    found = [attention.parametrizations.in_proj_weight[0], attention.out_proj.parametrizations.weight[0]]
    assert all(isinstance(module, kind) for module in found)
    return found


QKV, OUT = "backbone.attention.in_proj_weight", "backbone.attention.out_proj.weight"


def check(network: Holder, before: dict[str, Tensor], qkv: Tensor, out: Tensor) -> None:
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    biases = (before["backbone.attention.in_proj_bias"], before["backbone.attention.out_proj.bias"])
    expected = attended(x, qkv, biases[0], out, biases[1], heads=2)
    for mode in (True, False):
        torch.testing.assert_close(network.train(mode).backbone(x), expected, rtol=1e-10, atol=1e-10)
    with torch.no_grad():
        torch.testing.assert_close(network.backbone(x), expected, rtol=1e-10, atol=1e-10)
        # A network is copied with what a method has added.
        torch.testing.assert_close(copy.deepcopy(network).backbone(x), expected, rtol=1e-10, atol=1e-10)


def test_a_context_of_attention_multiplies_its_inputs() -> None:
    """W (o x) = (W o) x."""
    network, before = adapted(PSP(), task=2)
    first, second = (module.signs for module in added(network, Context))
    assert first.shape == second.shape == (8,)
    assert set(first.tolist()) == {-1.0, 1.0}
    check(network, before, before[QKV] @ first.diag(), before[OUT] @ second.diag())


def test_a_network_of_another_task_gets_the_contexts_of_its_task() -> None:
    """They are drawn in the same order, whatever the order of the modules."""
    network, _ = adapted(PSP(), task=2)
    method = PSP()
    method.task, method.generator = 3, torch.Generator().manual_seed(7)
    method.switch_task(network)  # type: ignore[arg-type]
    random = torch.Generator().manual_seed(7)
    for module in added(network, Context):
        assert torch.equal(module.signs, 1.0 - 2 * torch.randint(2, (8,), generator=random))


def test_masks_of_attention() -> None:
    network, before = adapted(SupSup(sparsity=0.25, init="pretrained"), task=1)
    masked = []
    for module in added(network, Mask):
        sizes = module.scores.detach().abs()
        masked.append(sizes >= sizes.flatten().sort(descending=True).values[sizes.numel() // 4 - 1])
    assert [int(mask.sum()) for mask in masked] == [24 * 8 // 4, 8 * 8 // 4]
    check(network, before, before[QKV] * masked[0], before[OUT] * masked[1])


def test_signed_constants_of_a_transformer() -> None:
    """+-sqrt(2 / D) for the matrices of attention too; no biases; normalisations as if they were new."""
    torch.manual_seed(0)
    network = Holder(VisionTransformer(8, 4, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16))
    nn.init.normal_(network.backbone.encoder.ln.weight)
    nn.init.normal_(network.backbone.encoder.layers[0].self_attention.in_proj_bias)
    method = SupSup()
    method.task, method.generator = 1, torch.Generator().manual_seed(1)
    method.adapt(network)  # type: ignore[arg-type]
    block = network.backbone.encoder.layers[0]
    for layer, name, inputs in (
        (network.backbone.conv_proj, "weight", 48),
        (block.self_attention, "in_proj_weight", 8),
        (block.self_attention.out_proj, "weight", 8),
        (block.mlp[0], "weight", 8),
        (block.mlp[3], "weight", 16),
    ):
        original = layer.parametrizations[name].original
        torch.testing.assert_close(original.abs(), torch.full_like(original, (2 / inputs) ** 0.5))
        assert 0 < (original > 0).float().mean() < 1
    assert not block.self_attention.in_proj_bias.any()
    assert not block.mlp[0].bias.any()
    assert network.backbone.encoder.ln.weight.eq(1).all()


@pytest.mark.parametrize("make", [SupSup, Piggyback, PackNet, PSP])
@pytest.mark.parametrize("backbone", [VisionTransformer, SwinTransformer])
def test_no_weight_is_left_out(make: type[Method], backbone: type[nn.Module]) -> None:
    """All that has two or more dimensions, but tokens and tables of positions."""
    if backbone is VisionTransformer:
        network = Holder(VisionTransformer(8, 4, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16, num_classes=3))
        expected = 8 * 48 + 2 * (4 * 64 + 2 * 8 * 16) + 8 * 3
    else:
        network = Holder(SwinTransformer([4, 4], 8, [1, 1], [2, 2], [2, 2], num_classes=3))
        expected = 8 * 48 + 12 * 64 + 32 * 16 + 12 * 256 + 16 * 3
    method = make()
    method.task, method.generator = 1, torch.Generator().manual_seed(1)
    method.adapt(network)  # type: ignore[arg-type]
    kinds = (Mask, Ownership, Context)
    lists = (m for m in network.modules() if isinstance(m, nn.utils.parametrize.ParametrizationList))
    assert sum(each.original.numel() for each in lists if isinstance(each[0], kinds)) == expected


@pytest.mark.parametrize("find", [weights_for, plain_weights])
def test_a_network_without_weights_is_refused(find: Callable[[nn.Module, str], object]) -> None:
    with pytest.raises(UserError) as caught:
        find(nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()), "packnet")
    assert str(caught.value) == (
        "packnet cannot be used on this backbone: it works on the weights of convolutions and linear layers, and there "
        "are none; leave the method out"
    )


def test_computed_weights_of_a_linear_layer_are_refused() -> None:
    network = nn.Sequential(nn.Linear(2, 3), parametrizations.weight_norm(nn.Linear(3, 4)))
    assert len(weights_for(network, "psp")) == 2
    with pytest.raises(
        UserError, match=r"^packnet cannot .* each single weight of a layer, and '1' computes its weight"
    ):
        plain_weights(network, "packnet")


def maxvit(blocks: list[int]) -> nn.Module:
    with torch.device("meta"):
        return MaxVit((32, 32), 4, 2, [8] * len(blocks), blocks, 4, 0.0, num_classes=3)


def test_convolutions_among_attention_are_worked_on() -> None:
    network = maxvit([1, 1])
    assert convolutions_for(network, "ccll") == convolutions(network)
    with pytest.raises(UserError) as caught:
        convolutions_for(maxvit([1]), "ccll")
    assert str(caught.value) == (
        "ccll cannot be used on this backbone: it works on convolutions, and here they only make the tokens of a "
        "transformer; leave the method out"
    )
