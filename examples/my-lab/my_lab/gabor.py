"""A network with known first-layer filters: edges in every direction."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from benchmark.backbones.base import Backbone

#: Wavelengths of the filters, in pixels.
WAVELENGTHS = (3.0, 6.0)

#: Height and width of a filter.
SIZE = 7


class Gabor(Backbone):
    """Gabor filters and random convolutions: what a network gives without any pretraining.

    Args:
        directions: of the filters, evenly spread over half a turn.
        features: length of the feature vector.
    """

    mean = (0.5, 0.5, 0.5)
    std = (0.25, 0.25, 0.25)

    def __init__(self, directions: int = 8, features: int = 128):
        for name, value in (("directions", directions), ("features", features)):
            if value < 1:
                raise ValueError(f"{name}={value} must be at least 1")
        self.directions = directions
        self.features = features

    def modules(self) -> nn.Module:
        filters = len(bank(self.directions))
        return nn.Sequential(
            nn.Conv2d(3, filters, SIZE, stride=2, padding=SIZE // 2, bias=False),
            nn.BatchNorm2d(filters),
            nn.ReLU(),
            nn.Conv2d(filters, self.features, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(self.features),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )

    @torch.no_grad()
    def load(self, modules: nn.Module) -> None:
        first = cast(nn.Conv2d, modules.get_submodule("0"))
        # Every filter sees the mean of the three colours.
        first.weight.copy_(bank(self.directions)[:, None] / 3)


def bank(directions: int) -> Tensor:
    """The filters, [4 * directions, SIZE, SIZE]: two wavelengths, each even and odd, with mean 0 and length 1."""
    y, x = torch.meshgrid(torch.arange(SIZE) - SIZE // 2, torch.arange(SIZE) - SIZE // 2, indexing="ij")
    window = torch.exp(-(x**2 + y**2) / (2 * (SIZE / 4) ** 2))
    waves = []
    for number in range(directions):
        angle = math.pi * number / directions
        across = x * math.cos(angle) + y * math.sin(angle)
        for wavelength in WAVELENGTHS:
            turns = 2 * math.pi / wavelength * across
            waves += [window * torch.cos(turns), window * torch.sin(turns)]
    filters = torch.stack(waves)
    filters = filters - window * (filters.sum((1, 2)) / window.sum())[:, None, None]
    return filters / filters.flatten(1).norm(dim=1)[:, None, None]
