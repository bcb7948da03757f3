"""Weights of a backbone that are computed from other tensors, for example by spectral normalisation."""

from __future__ import annotations

from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from methods.errors import UserError

# torch's older way: the weight is a tensor that the module has beside its parameters.
_HOOKS = (SpectralNorm, WeightNorm, BasePruningMethod)


def refuse_hooked_weights(network: nn.Module) -> None:
    """Check that no weight is computed by a hook: methods cannot see it, and such a network cannot be copied.

    Raises:
        UserError: a weight is; the message names the layer.
    """
    for name, module in network.named_modules():
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, _HOOKS):
                raise UserError(
                    f"--backbone: '{name}' computes its weight in a hook ({type(hook).__name__}), which no method can "
                    "train; use torch.nn.utils.parametrizations, or remove the hook, which leaves the weight as it is"
                )


def parametrisations(network: nn.Module, prefix: str) -> list[tuple[str, nn.Module]]:
    """(name, module) of each module that computes a weight from other tensors."""
    return [
        (f"{name}.{number}", each)
        for name, module in network.named_modules(prefix=prefix)
        if isinstance(module, parametrize.ParametrizationList)
        for number, each in enumerate(module)
    ]
