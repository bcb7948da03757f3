"""Where in a network the per-layer modules of a method go."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from methods.method import BatchNorm


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    """All convolutions of a network, in the order they are defined."""
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


def norm_after(network: nn.Module) -> dict[nn.Conv2d, BatchNorm]:
    """Convolution -> the batch normalisation of its output, where it has one.

    That is the next module of the same parent, if it has as many channels: so it is in torchvision's networks, whose
    forward passes need not be traced for it.
    """
    return {
        conv: norm
        for parent in network.modules()
        for conv, norm in pairwise(parent.children())
        if isinstance(conv, nn.Conv2d) and isinstance(norm, BatchNorm) and norm.num_features == conv.out_channels
    }
