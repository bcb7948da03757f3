"""The embedded backbones by name."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from torch import nn

from benchmark.backbones import backbones
from benchmark.backbones.base import Backbone, fill, read_weights
from benchmark.backbones.mini import network, vit
from benchmark.backbones.mini.network import MEAN, STD


class EmbeddedBackbone(Backbone):
    """A network whose pretrained weights ship with the package."""

    #: The shipped weights, and the names in a file of weights that need not fit: of a classifier.
    shipped: ClassVar[Path]
    classifiers: ClassVar[tuple[str, ...]]
    mean = MEAN
    std = STD

    def __init__(self, weights: str = "fractals"):
        self.weights = weights

    @property
    def pretraining(self) -> str:
        return {"fractals": "generated fractals", "random": "none"}.get(self.weights, Path(self.weights).name)

    def load(self, modules: nn.Module) -> None:
        if self.weights != "random":
            path = str(self.shipped) if self.weights == "fractals" else self.weights
            fill(modules, read_weights(path, ("fractals", "random")), self.classifiers, path, self.warn)


@backbones.register("mini")
class MiniBackbone(EmbeddedBackbone):
    """small ResNet for 32x32, pretrained on generated fractals; shipped

    Args:
        weights: "fractals" (shipped), "random", or a .safetensors or .pth file.
    """

    usual_image_size = 32
    shipped = network.WEIGHTS
    classifiers = ("fc.", "classifier.")

    def modules(self) -> nn.Module:
        return network.MiniResNet()


@backbones.register("mini-vit")
class MiniViTBackbone(EmbeddedBackbone):
    """small vision transformer for 32x32, pretrained on generated fractals; shipped

    Args:
        weights: "fractals" (shipped), "random", or a .safetensors or .pth file.
    """

    shipped = vit.WEIGHTS
    classifiers = ("heads.",)
    image_size = vit.MiniViT.size

    def modules(self) -> nn.Module:
        return vit.MiniViT()
