"""LoRA against W + (alpha / r) B A in double precision, its start, and its places in other transformers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from torchvision.models import get_model

from baselines.lora import LoRA
from baselines.shared.low_rank import LowRank
from benchmark.learning.learner import Cell, prepare
from methods.network import Network

CPU = torch.device("cpu")
# The parts of the rows that change, and the linear layers that do.
TARGETS = {
    "qv": ((0, 2), ()),
    "qkv": ((0, 1, 2), ()),
    "all": ((0, 1, 2), ("self_attention.out_proj", "mlp.0", "mlp.3")),
}


@pytest.mark.parametrize("targets", TARGETS)
def test_a_transformer_computes_the_formula(
    targets: Any, vit: Network, plain_vit: Any, assert_computes: Callable[..., Any]
) -> None:
    parts, layers = TARGETS[targets]

    def formula(images: Tensor, tensors: dict[str, Tensor]) -> Tensor:
        plain = dict(tensors)
        for i in range(3):
            block = f"encoder.layers.encoder_layer_{i}"
            own = f"{block}.self_attention.parametrizations.in_proj_weight"
            weight = tensors[f"{own}.original"]
            rows = []
            for part in range(3):
                w = weight[8 * part : 8 * (part + 1)]
                if part in parts:
                    a, b = (tensors[f"{own}.0.changes.{part}.{n}"] for n in ("down", "up"))
                    assert (a.shape, b.shape) == ((3, 8), (8, 3))
                    w = w + 5 / 3 * b @ a
                rows.append(w)
            plain[f"{block}.self_attention.in_proj_weight"] = torch.cat(rows)
            for layer in layers:
                own = f"{block}.{layer}.parametrizations.weight"
                change = tensors[f"{own}.0.up"] @ tensors[f"{own}.0.down"]
                plain[f"{block}.{layer}.weight"] = tensors[f"{own}.original"] + 5 / 3 * change
        return plain_vit(plain).features(images)

    cell = Cell(vit, lambda: LoRA(rank=3, alpha=5, targets=targets), 2, 0, CPU)
    trained = assert_computes(prepare(cell, 1).network, formula)
    assert len(trained) == 3 * 2 * (len(parts) + len(layers))
    assert all(name.endswith((".down", ".up")) for name in trained)


@pytest.mark.parametrize("name", ["vit_b_16", "swin_t", "swin_v2_t", "maxvit_t"])
@pytest.mark.parametrize(("targets", "each"), [("qv", 2), ("qkv", 3), ("all", 6)])
def test_its_places_in_other_transformers(name: str, targets: Any, each: int) -> None:
    with torch.device("meta"):
        network = get_model(name, weights=None)
    LoRA(targets=targets).adapt(network)
    blocks = {"vit_b_16": 12, "swin_t": 12, "swin_v2_t": 12, "maxvit_t": 22}[name]
    assert sum(isinstance(module, LowRank) for module in network.modules()) == each * blocks


def test_starts_exactly_as_the_backbone(vit: Network) -> None:
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    network = copy.deepcopy(vit)
    LoRA(targets="all").adapt(network)
    given = {name: tensor for name, _, tensor in vit.tensors()}
    for name, module in network.named_modules():
        for weight in module.parametrizations if is_parametrized(module) else ():
            assert torch.equal(getattr(module, weight), given[f"{name}.{weight}"])
    with torch.no_grad():
        torch.testing.assert_close(network.features(images), vit.features(images), rtol=0, atol=1e-13)


def test_each_matrix_has_random_values_of_its_own(vit: Network) -> None:
    LoRA().adapt(vit)
    downs = [module.down for module in vit.modules() if isinstance(module, LowRank)]
    assert len({tuple(down.flatten().tolist()) for down in downs}) == 6
    assert all(0 < down.abs().max() <= 8**-0.5 for down in downs)
    assert not any(module.up.any() for module in vit.modules() if isinstance(module, LowRank))


@pytest.mark.parametrize(
    ("options", "told"), [({"rank": 0}, "rank=0 must be at least 1"), ({"alpha": 0.0}, "alpha=0 must be positive")]
)
def test_options_that_make_no_sense(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        LoRA(**options)


def test_scale_of_one_is_the_plain_product() -> None:
    torch.manual_seed(0)
    low_rank = LowRank(torch.randn(4, 2, 3), 2).double()
    nn.init.normal_(low_rank.up)
    weight = torch.randn(4, 2, 3, dtype=torch.float64)
    expected = weight + torch.einsum("or,rk->ok", low_rank.up, low_rank.down).view(4, 2, 3)
    torch.testing.assert_close(low_rank(weight), expected)
