"""The places in a network for a method's per-layer modules."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from baselines.shared.weights import refuse_computed
from methods.errors import UserError, cannot
from methods.method import BatchNorm
from methods.transformers import attentions


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    """All convolutions of a network, in the order they are defined."""
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


def convolutions_for(network: nn.Module, method: str) -> list[nn.Conv2d]:
    """All convolutions of a network, for a method that works on convolutions alone.

    Args:
        network: the method has not added its modules yet.
        method: its name, for the message.

    Raises:
        UserError: there is none, or all of them come before the attention of a transformer, so that the method would
            leave nearly everything as it is.
    """
    found = convolutions(network)
    if not found:
        raise UserError(cannot(method, "it works on convolutions, and there are none"))
    modules = list(network.modules())
    first = next(attentions(network), None)
    if first and modules.index(found[-1]) < modules.index(first):
        raise UserError(cannot(method, "it works on convolutions, and here they only make the tokens of a transformer"))
    return found


def plain_convolutions(network: nn.Module, method: str) -> list[nn.Conv2d]:
    """All convolutions of a network, for a method that changes their weights one by one.

    Args:
        network: the method has not added its modules yet.
        method: its name, for the message.

    Raises:
        UserError: there is none, or a weight is computed from other tensors, so that a change of one changes others.
    """
    refuse_computed(network, convolutions(network), method)
    return convolutions_for(network, method)


def keeps_size(conv: nn.Conv2d) -> bool:
    """Whether a 1x1 convolution of the same stride gives an output of the same size for any input."""
    if isinstance(conv.padding, str):
        return conv.padding == "same"
    reaches = zip(conv.padding, conv.dilation, conv.kernel_size, strict=True)
    return all(2 * padding == dilation * (size - 1) for padding, dilation, size in reaches)


def norm_after(network: nn.Module) -> dict[nn.Conv2d, BatchNorm]:
    """Convolution -> the batch normalisation of its output, if it has one.

    That is the next module of the same parent, if it has as many channels. This holds in torchvision's networks, so
    their forward passes need not be traced.
    """
    return {
        conv: norm
        for parent in network.modules()
        for conv, norm in pairwise(parent.children())
        if isinstance(conv, nn.Conv2d) and isinstance(norm, BatchNorm) and norm.num_features == conv.out_channels
    }
