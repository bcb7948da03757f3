"""Frozen convolutions below fully connected layers, as in "Three types of incremental learning"."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from pathlib import Path

from torch import Tensor, nn

from benchmark.backbones import backbones
from benchmark.backbones.base import Backbone, fill, read_weights

# Channels of each convolution's output; all but the first halve the image.
_CHANNELS = (3, 16, 32, 64, 128, 256)


class _Network(nn.Module):
    """Normalised images [N, 3, 32, 32] -> features [N, hidden]."""

    def __init__(self, hidden: int, layers: int):
        super().__init__()
        last = len(_CHANNELS) - 1
        # The names are those of the authors' files.
        self.convolutions = nn.Sequential(
            OrderedDict(
                (f"convLayer{number}", _convolution(*channels, 1 if number == 1 else 2, number == last))
                for number, channels in enumerate(pairwise(_CHANNELS), 1)
            )
        )
        widths = [_CHANNELS[-1] * 2 * 2, *[hidden] * layers]
        connected = (layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU()))
        self.connected = nn.Sequential(nn.Flatten(), *connected)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.connected(self.convolutions(images))
        return features


def _convolution(channels: int, wider: int, stride: int, last: bool) -> nn.Sequential:
    """A 3x3 convolution with batch normalisation and ReLU; the last one has neither."""
    conv = nn.Conv2d(channels, wider, 3, stride, padding=1)
    rest = {} if last else {"bn": nn.BatchNorm2d(wider), "nl": nn.ReLU()}
    return nn.Sequential(OrderedDict(conv=conv, **rest))


@backbones.register("conv-mlp")
class ConvMLP(Backbone):
    """five frozen convolutions for 32x32, then layers that learn; conv-mlp:weights=FILE:hidden=2000:layers=2

    The network of "Three types of incremental learning" on CIFAR-100 (van de Ven et al., 2022, doi
    10.1038/s42256-022-00568-3): 3x3 convolutions with 16, 32, 64, 128 and 256 channels, all but the first with stride
    2, with batch normalisation and ReLU after all but the last. No method changes them, nor their statistics. Then
    fully connected layers with ReLU, which have random weights; the outputs of the last one are the features.

    Args:
        weights: of the convolutions: "random", or a file as the authors' main_pretrain.py saves it.
        hidden: units of a fully connected layer.
        layers: number of fully connected layers.
    """

    image_size = 32
    frozen = ("convolutions.",)
    # Those of CIFAR-100, as the authors have them.
    mean, std = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2761)

    def __init__(self, weights: str = "random", hidden: int = 2000, layers: int = 2):
        for name, value in (("hidden", hidden), ("layers", layers)):
            if value < 1:
                raise ValueError(f"{name}={value} must be at least 1")
        self.weights = weights
        self.hidden = hidden
        self.layers = layers

    @property
    def pretraining(self) -> str:
        return "none" if self.weights == "random" else Path(self.weights).name

    def modules(self) -> nn.Module:
        return _Network(self.hidden, self.layers)

    def load(self, modules: nn.Module) -> None:
        if self.weights != "random":
            convolutions = modules.get_submodule("convolutions")
            fill(convolutions, read_weights(self.weights, ("random",)), (), self.weights, self.warn)
