"""BitFit trains each bias and nothing else, with the gradients of the network as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from baselines.bitfit import BitFit
from baselines.norm_only import NormOnly
from benchmark.learning.learner import Cell, prepare
from methods.errors import UserError
from methods.network import Network

CPU = torch.device("cpu")
WEIGHTLESS = Network(nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.Flatten()), 192, (0.5,) * 3, (0.5,) * 3)
BLOCK = ("ln_1", "ln_2", "self_attention.out_proj", "mlp.0", "mlp.3")


def test_all_biases_of_a_transformer(vit: Network, plain_vit: Any, assert_computes: Callable[..., Any]) -> None:
    trained = assert_computes(prepare(Cell(vit, BitFit, 2, 0, CPU), 1).network, lambda x, t: plain_vit(t).features(x))
    blocks = [f"encoder.layers.encoder_layer_{i}" for i in range(3)]
    biases = {f"{block}.{layer}.bias" for block in blocks for layer in BLOCK}
    biases |= {f"{block}.self_attention.in_proj_bias" for block in blocks}
    assert trained == biases | {"conv_proj.bias", "encoder.ln.bias"}


def test_all_norms_of_a_transformer(vit: Network, plain_vit: Any, assert_computes: Callable[..., Any]) -> None:
    trained = assert_computes(prepare(Cell(vit, NormOnly, 2, 0, CPU), 1).network, lambda x, t: plain_vit(t).features(x))
    norms = ["encoder.ln", *(f"encoder.layers.encoder_layer_{i}.ln_{j}" for i in range(3) for j in (1, 2))]
    assert trained == {f"{norm}.{name}" for norm in norms for name in ("weight", "bias")}


@pytest.mark.parametrize("method", ["norm-only", "bitfit"])
def test_a_backbone_with_nothing_to_train_is_refused(method: str, make_cell: Callable[..., Cell]) -> None:
    with pytest.raises(UserError, match=rf"^{method} cannot be used on this backbone: it works on .* there are none"):
        prepare(make_cell(method, WEIGHTLESS), 1)


@pytest.mark.parametrize(("bn", "more"), [("frozen", set()), ("per-task", {"weight", "running_mean", "running_var"})])
def test_batch_normalisation(bn: Any, more: set[str], make_cell: Callable[..., Cell]) -> None:
    """Frozen: its statistics stay as they are, although its biases are trained."""
    bench = prepare(make_cell("bitfit", bn=bn), 1)
    own = {name for name, part in bench.parts.items() if part == "task"}
    assert own == {f"backbone.{i}.{name}" for i in (1, 4) for name in {"bias"} | more}
    norms = [module for module in bench.network.train().modules() if isinstance(module, nn.BatchNorm2d)]
    assert [norm.training for norm in norms] == [bn == "per-task"] * 2
