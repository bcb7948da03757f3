"""Visual prompt tuning against its formula in double precision, its start, and networks that it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models import get_model

from baselines.vpt import VPT, Prompts
from benchmark.backbones import backbone_of
from benchmark.learning.learner import Cell, prepare
from methods.errors import UserError
from methods.network import Network

CPU = torch.device("cpu")


def adapted(network: Network, **options: Any) -> Network:
    return prepare(Cell(network, lambda: VPT(**options), 2, 0, CPU), 1).network


@pytest.mark.parametrize("depth", ["shallow", "deep"])
@pytest.mark.parametrize("mean", [False, True], ids=["class token", "mean of tokens"])
def test_a_transformer_computes_the_formula(
    depth: Any, mean: bool, vit: Network, plain_vit: Any, assert_computes: Callable[..., Any]
) -> None:
    """[class, prompts, patches], as the authors have it; after the last block the prompts are gone."""

    class Prompted(plain_vit):
        def block(self, name: str, x: Tensor) -> Tensor:
            first, prompts = name.endswith("_0"), f"{name}.prompts.tokens"
            if first or depth == "deep":
                patches = x[:, 1:] if first else x[:, 1 + 3 :]
                x = torch.cat([x[:, :1], self.t[prompts].expand(len(x), 3, 8), patches], 1)
            return super().block(name, x)

        def norm(self, name: str, x: Tensor) -> Tensor:
            x = super().norm(name, x)
            if name != "encoder.ln":
                return x
            x = torch.cat([x[:, :1], x[:, 1 + 3 :]], 1)
            return x.mean(1, keepdim=True) if mean else x

    if mean:
        vit.backbone.encoder.ln.register_forward_hook(lambda ln, inputs, x: x.mean(1, keepdim=True))
    network = adapted(vit, tokens=3, depth=depth)
    trained = assert_computes(network, lambda x, t: Prompted(t).features(x))
    blocks = range(3 if depth == "deep" else 1)
    assert trained == {f"encoder.layers.encoder_layer_{i}.prompts.tokens" for i in blocks}


def test_the_start_is_the_authors(vit: Network) -> None:
    """Uniform: with patches of 4 x 4 and tokens of 8 between -+ sqrt(6 / (3 * 16 + 8))."""
    network = adapted(vit, tokens=2_000)
    values = torch.cat([module.tokens.flatten() for module in network.modules() if isinstance(module, Prompts)])
    reach = (6 / 56) ** 0.5
    assert 0.999 < values.abs().max().item() / reach <= 1
    assert values.var().item() == pytest.approx(reach**2 / 3, rel=0.02)


def test_patches_that_several_convolutions_make() -> None:
    """Of 4 x 4 pixels too, with tokens of 64: their strides are 2, 2 and 1."""
    network = adapted(backbone_of("mini-vit:weights=random").network(), tokens=500)
    prompts = [module.tokens for module in network.modules() if isinstance(module, Prompts)]
    assert len(prompts) == 6
    assert 0.99 < max(tokens.abs().max().item() for tokens in prompts) / (6 / 112) ** 0.5 <= 1


@pytest.mark.parametrize("name", ["swin_t", "swin_v2_t", "maxvit_t"])
def test_a_network_of_windows_is_refused(name: str) -> None:
    with torch.device("meta"):
        network = Network(get_model(name, weights=None), 8, (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(UserError, match=r"^vpt cannot be used on this backbone: it needs attention to sequences"):
        adapted(network)


def test_no_prompts_are_refused() -> None:
    with pytest.raises(ValueError, match="tokens=0 must be at least 1"):
        VPT(tokens=0)
