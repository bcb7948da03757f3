"""The weights of a network's layers: kernels of convolutions, and matrices of linear layers and of attention."""

from __future__ import annotations

from collections.abc import Collection

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from methods.errors import UserError, cannot

# nn.MultiheadAttention has one matrix for queries, keys and values, or three if they have other lengths than tokens.
# Its last layer is a linear one of its own.
_OF_ATTENTION = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


def weights(network: nn.Module) -> list[tuple[nn.Module, str]]:
    """The layer that has it, and its name there, of each weight with one row per output, in the order of definition.

    A weight is [outputs, inputs of each, ...]. All are changed by a parametrisation, and not by a hook: attention uses
    the weights of its linear layers without calling these.
    """
    return [(module, name) for module in network.modules() for name in weights_of(module)]


def weights_of(layer: nn.Module) -> list[str]:
    """The names of a layer's own such weights."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        return ["weight"]
    if isinstance(layer, nn.MultiheadAttention):
        return [name for name in _OF_ATTENTION if getattr(layer, name) is not None]
    return []


def weights_for(network: nn.Module, method: str) -> list[tuple[nn.Module, str]]:
    """The same, for a method that works on them.

    Args:
        network: the method has not added its modules yet.
        method: its name, for the message.

    Raises:
        UserError: there are none.
    """
    found = weights(network)
    if not found:
        raise UserError(cannot(method, "it works on the weights of convolutions and linear layers, and there are none"))
    return found


def plain_weights(network: nn.Module, method: str) -> list[tuple[nn.Module, str]]:
    """The same, for a method that changes the weights one by one.

    Raises:
        UserError: there are none, or one is computed from other tensors, so that a change of one changes others.
    """
    found = weights_for(network, method)
    refuse_computed(network, {module for module, _ in found}, method)
    return found


def refuse_computed(network: nn.Module, layers: Collection[nn.Module], method: str) -> None:
    """Check that the weights of some layers are not computed from other tensors.

    Raises:
        UserError: one is.
    """
    for name, module in network.named_modules():
        if module in layers and is_parametrized(module):
            why = (
                f"it needs each single weight of a layer, and '{name}' computes its weight from other tensors "
                "(torch.nn.utils.parametrize)"
            )
            raise UserError(cannot(method, why, "leave the method out, or remove the parametrisation"))
