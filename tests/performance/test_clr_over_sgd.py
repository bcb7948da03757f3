from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from methods.network import Network
from performance import clr_over_sgd
from performance.loops import BareNetwork


def test_the_plain_clr_starts_as_the_backbone_and_trains_little_of_it(tiny_network: Network) -> None:
    torch.manual_seed(0)
    expected = BareNetwork(tiny_network, 10)
    torch.manual_seed(0)
    model = clr_over_sgd.reprogrammed(tiny_network)
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    torch.testing.assert_close(model.eval()(images), expected.eval()(images))
    trained = sorted(tuple(p.shape) for p in model.parameters() if p.requires_grad)
    # Kernels after the 3x3 convolution to 6 channels but not after the 1x1 one to 5, two batch norms, and the head.
    assert trained == sorted([(6, 1, 3, 3), (6,), (6,), (5,), (5,), (10, 5), (10,)])
    assert sum(isinstance(module, nn.Conv2d) for module in model.modules()) == 3


def test_all_ratios_are_printed(tables: Callable) -> None:
    arguments = ("--repetitions", "1", "--epochs", "2", "--images", "2", "--backbones", "squeezenet1_1")
    (rows,) = tables(clr_over_sgd, *arguments)
    assert [row[:2] for row in rows] == [["squeezenet1_1", "fp32"], ["squeezenet1_1", "bf16"]]
    for _, _, sgd, clr, ratio, bare, operations in rows:
        assert abs(ratio - clr / sgd) < 0.1
        assert math.isfinite(bare)
        assert 0 < operations < 1
