"""Which layers of a network normalise."""

from __future__ import annotations

from torch import nn

from methods.method import BatchNorm

_NORMS = (BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.instancenorm._InstanceNorm)


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a normalisation layer: one of torch's, or one that is called so and has a weight, as timm's.

    A parametrisation that normalises a weight is none.
    """
    if isinstance(module, _NORMS):
        return True
    weight = getattr(module, "weight", None)
    return "norm" in type(module).__name__.lower() and isinstance(weight, nn.Parameter) and weight.ndim == 1
