"""The perceptron of the articles on Split MNIST."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Literal

from torch import nn

from benchmark.backbones import backbones
from benchmark.backbones.base import Backbone, fill, read_weights


@backbones.register("mlp")
class Perceptron(Backbone):
    """multilayer perceptron with random weights, as on Split MNIST; mlp:hidden=100:layers=2:channels=1:size=28

    Fully connected layers with ReLU; the outputs of the last one are the features. Pixels are scaled to 0..1.

    Args:
        hidden: units of a layer.
        layers: number of layers.
        channels: 1 for grey images, 3 for colours.
        size: the height and width of its images, in pixels.
        weights: "random", or a .safetensors or .pth file.
        init: random weights are uniform: "torch": up to 1/sqrt(inputs), biases too; "xavier" (Glorot and Bengio, 2010),
            as in Mammoth: up to sqrt(6/(inputs + outputs)), and biases are 0.
    """

    def __init__(
        self,
        hidden: int = 100,
        layers: int = 2,
        channels: Literal["1", "3"] = "1",
        size: int = 28,
        weights: str = "random",
        init: Literal["torch", "xavier"] = "torch",
    ):
        for name, value, least in (("hidden", hidden, 1), ("layers", layers, 1), ("size", size, 8)):
            if value < least:
                raise ValueError(f"{name}={value} must be at least {least}")
        self.hidden = hidden
        self.layers = layers
        self.image_size = size
        self.mean, self.std = (0.0,) * int(channels), (1.0,) * int(channels)
        self.weights = weights
        self.init = init

    @property
    def pretraining(self) -> str:
        return "none" if self.weights == "random" else Path(self.weights).name

    def modules(self) -> nn.Module:
        assert self.image_size
        widths = [len(self.mean) * self.image_size**2, *[self.hidden] * self.layers]
        layers = (layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU()))
        modules = nn.Sequential(nn.Flatten(), *layers)
        if self.init == "xavier":
            for name, parameter in modules.named_parameters():
                (nn.init.xavier_uniform_ if name.endswith("weight") else nn.init.zeros_)(parameter)
        return modules

    def load(self, modules: nn.Module) -> None:
        if self.weights != "random":
            fill(modules, read_weights(self.weights), ("fc.", "classifier."), self.weights, self.warn)
