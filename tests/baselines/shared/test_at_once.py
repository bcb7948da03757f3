"""Values that are there during a pass only, and a copy's own."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from baselines.shared.at_once import AtOnce


class Scale(nn.Module):
    """Multiplies by twice its weight, which is computed outside; fails for more than two values."""

    def __init__(self, weight: float):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.value: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        assert self.value is not None
        if len(x) > 2:
            raise ValueError("too many")
        return x * self.value


def doubled(each: Sequence[Scale]) -> list[Tensor]:
    return [2 * scale.weight for scale in each]


def backbone() -> nn.Sequential:
    scales = [Scale(3.0), Scale(5.0)]
    network = nn.Sequential(*scales)
    AtOnce(scales, "value", partial(doubled, scales)).add(network)
    return network


def values_of(network: nn.Sequential) -> list[object]:
    return [vars(scale)["value"] for scale in network]


def test_values_are_forgotten_after_a_pass_that_fails_too() -> None:
    network = backbone()
    result = network(torch.ones(2))
    assert result.tolist() == [60.0, 60.0]
    assert values_of(network) == [None, None]
    with pytest.raises(ValueError, match="too many"):
        network(torch.ones(3))
    assert values_of(network) == [None, None]
    result.sum().backward()
    assert [weight.grad for weight in network.parameters()] == [2 * 2 * 10.0, 2 * 2 * 6.0]


def test_a_copy_computes_its_own_values() -> None:
    network = backbone()
    twin = copy.deepcopy(network)
    with torch.no_grad():
        next(twin.parameters()).fill_(0.5)
    assert twin(torch.ones(1)).tolist() == [10.0]
    assert network(torch.ones(1)).tolist() == [60.0]
