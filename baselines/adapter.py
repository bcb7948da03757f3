"""Adapters beside the perceptrons of a transformer."""

from __future__ import annotations

from typing import Literal

from torch import nn

from baselines.shared.adapters import Adapter, add_adapters, check_adapters
from baselines.shared.per_task import PerTask
from methods import methods
from methods.recipe import Range, Recipe


@methods.register("adapter")
class AdaptFormer(PerTask):
    """AdaptFormer (Chen et al., NeurIPS 2022, arXiv 2205.13535).

    The perceptron of each block of a frozen transformer gets a bottleneck beside it, which reads the tokens before the
    norm, as in the authors' code: y = x + MLP(norm x) + scale * Up_t(ReLU(Down_t x)). Up_t starts at zero, so the
    network starts as the backbone. Biases included, that is 2 D b + b + D values for each block and task, where b is
    the bottleneck: 1,189,632 in all for a ViT-B/16.

    A network without blocks gets it beside each convolution that is wider than 1x1 and keeps the size of the image:
    y = conv(x) + scale * Up_t(ReLU(Down_t x)) with 1x1 convolutions, where Down_t has the stride of conv; that is
    (C_in + C_out) b + b + C_out values for each. The paper speaks of transformers alone; this is the parallel form of
    residual-adapters, with a bottleneck.

    Args:
        bottleneck: b.
        scale: of what is added.
        bn: batch normalisation "per-task" (4 * C values) or "frozen" as the backbone's.

    Differs from the paper:
        dropout: none. The authors' code has one of a tenth in the bottleneck.
        head: linear. The authors' code has batch normalisation before it.
    """

    any_layout = True
    own = (Adapter,)
    recipe = Recipe(optimizer="adam", lr=0.01)
    search = {"lr": Range(1e-3, 0.1), "bottleneck": (8, 16, 32, 64, 128)}

    def __init__(self, bottleneck: int = 64, scale: float = 0.1, bn: Literal["per-task", "frozen"] = "frozen"):
        super().__init__(bn)
        check_adapters(bottleneck, scale)
        self.bottleneck = bottleneck
        self.scale = scale

    def adapt(self, network: nn.Module) -> None:
        add_adapters(network, self.bottleneck, self.scale, self.name)
