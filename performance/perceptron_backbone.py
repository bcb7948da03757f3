"""The perceptron of many articles on continual learning, as a backbone of the command line: a plugin."""

from __future__ import annotations

from torch import Tensor, nn

from benchmark.backbones import backbones
from benchmark.backbones.base import Backbone

SIZE, HIDDEN = 28, 100


class OneChannel(nn.Module):
    """Grey images [N, 3, S, S], whose channels are all the same -> the pixels of one of them, [N, 28 * 28]."""

    def forward(self, images: Tensor) -> Tensor:
        # Images of 28x28 stay whole; larger ones only tell how long the features are.
        return images[:, 0, :SIZE, :SIZE].flatten(1)


@backbones.register("perceptron")
class Perceptron(Backbone):
    """Two layers of 100 units, with random weights, for grey images of 28x28."""

    mean = (0.5, 0.5, 0.5)
    std = (0.5, 0.5, 0.5)

    def modules(self) -> nn.Module:
        layers = (nn.Linear(SIZE * SIZE, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU())
        return nn.Sequential(OneChannel(), *layers)

    def load(self, modules: nn.Module) -> None:
        pass
