"""The embedded backbone by name."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from benchmark.backbones import backbones
from benchmark.backbones.base import Backbone, fill, read_weights
from benchmark.backbones.mini.network import MEAN, STD, WEIGHTS, MiniResNet


@backbones.register("mini")
class MiniBackbone(Backbone):
    """small ResNet for 32x32, pretrained on generated fractals; shipped

    Args:
        weights: "fractals" (shipped), "random", or a .safetensors or .pth file.
    """

    mean = MEAN
    std = STD

    def __init__(self, weights: str = "fractals"):
        self.weights = weights

    @property
    def pretraining(self) -> str:
        return {"fractals": "generated fractals", "random": "none"}.get(self.weights, Path(self.weights).name)

    def modules(self) -> nn.Module:
        return MiniResNet()

    def load(self, modules: nn.Module) -> None:
        if self.weights != "random":
            path = str(WEIGHTS) if self.weights == "fractals" else self.weights
            fill(modules, read_weights(path), ("fc.", "classifier."), path, self.warn)
