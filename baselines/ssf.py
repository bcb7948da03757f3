"""A scale and a shift after each layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from baselines.shared.per_task import PerTask
from methods import methods
from methods.errors import UserError, cannot
from methods.norms import is_norm
from methods.recipe import Range, Recipe
from methods.transformers import attentions, qkv


class Scale(nn.Module):
    """gamma W for a weight W [D, ...] of D outputs; gamma [D] is drawn around 1.

    Attributes:
        active: whether it takes part; otherwise the weight stays as it is.
    """

    def __init__(self, weight: Tensor):
        super().__init__()
        self.active = True
        # Drawn on the CPU, so that the initial values do not depend on the device.
        self.gamma = nn.Parameter(torch.empty(len(weight), device="cpu").normal_(1, 0.02).to(weight))

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.gamma.view(-1, *(1,) * (weight.ndim - 1)) if self.active else weight


class Shift(nn.Module):
    """gamma b + beta for a bias b [D]; gamma is that of `scale`, beta [D] is drawn around 0."""

    def __init__(self, scale: Scale):
        super().__init__()
        self.scale = scale
        self.beta = nn.Parameter(torch.empty(len(scale.gamma), device="cpu").normal_(0, 0.02).to(scale.gamma))

    def forward(self, bias: Tensor) -> Tensor:
        return torch.addcmul(self.beta, bias, self.scale.gamma) if self.scale.active else bias


def _follow(layer: nn.Module, scale: Scale, hook: Callable[..., Tensor | None]) -> None:
    # A child and a hook leave the names of the backbone's own tensors as they were.
    layer.add_module("shift", Shift(scale))
    layer.register_forward_hook(hook)


def _shift(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
    shift = layer.get_submodule("shift")
    assert isinstance(shift, Shift)
    return output + _by_channel(layer, shift.beta) if shift.scale.active else None


def _scale_and_shift(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
    shift = layer.get_submodule("shift")
    assert isinstance(shift, Shift)
    if not shift.scale.active:
        return None
    return torch.addcmul(_by_channel(layer, shift.beta), output, _by_channel(layer, shift.scale.gamma))


def _by_channel(layer: nn.Module, values: Tensor) -> Tensor:
    """Values for the channels of a layer's output, in the shape in which they fit it."""
    # Norms of [N, C, H, W] have 2d in their names, timm's own too; others have the channels last.
    first = isinstance(layer, nn.Conv2d) or "2d" in type(layer).__name__.lower()
    return values[:, None, None] if first else values


def _is_linear_in_its_weight(layer: nn.Module) -> bool:
    """Whether a layer's output is that of its weight as it is; some convolutions first standardise it."""
    return not isinstance(layer, nn.Conv2d) or type(layer).forward is nn.Conv2d.forward


@methods.register("ssf")
class SSF(PerTask):
    """Scaling and shifting features (Lian et al., NeurIPS 2022, arXiv 2210.08823).

    The output y of each linear layer, convolution and normalisation of a frozen backbone becomes gamma_t * y + beta_t,
    and so do the queries, keys and values together: two values for each channel of an output and each task, 205,824 in
    all for a ViT-B/16. As in the authors' code gamma starts as numbers of mean 1 and beta of mean 0, both with a
    standard deviation of .02, so the network starts near the backbone and not exactly as it.

    It is computed as (gamma W) x + (gamma b + beta): a network that only answers has it in its weights, and needs the
    operations of the backbone. Only where a convolution does not use its weight as it is, as one that standardises it
    first, is its output changed. Normalisation without weights stays as it is. Queries, keys and values without a bias
    are scaled and not shifted, where attention only reads their layer's weight.

    Args:
        bn: the statistics of batch normalisation "per-task" (2 * C values) or "frozen" as the backbone's; its affine
            parameters are changed as those of other layers.
    """

    any_layout = True
    own = (Scale, Shift)
    recipe = Recipe(optimizer="adam", lr=0.01)
    search = {"lr": Range(1e-3, 0.1)}

    def __init__(self, bn: Literal["per-task", "frozen"] = "frozen"):
        super().__init__(bn)

    def adapt(self, network: nn.Module) -> None:
        add_scales(network, self.name)


def add_scales(network: nn.Module, method: str) -> list[Scale]:
    """Add a scale and a shift to each layer with a weight.

    Args:
        method: its name, for the message.

    Returns:
        The scales; they switch the shifts too.

    Raises:
        UserError: there is no such layer.
    """
    places = list(_places(network))
    if not places:
        raise UserError(cannot(method, "it works on layers with a weight, and there are none"))
    scales = []
    for layer, weight, bias, called in places:
        scale = Scale(getattr(layer, weight))
        scales.append(scale)
        if not _is_linear_in_its_weight(layer):
            _follow(layer, scale, _scale_and_shift)
            continue
        register_parametrization(layer, weight, scale)
        if getattr(layer, bias, None) is not None:
            register_parametrization(layer, bias, Shift(scale))
        elif called:
            _follow(layer, scale, _shift)
    return scales


def _places(network: nn.Module) -> Iterator[tuple[nn.Module, str, str, bool]]:
    """Each layer with a weight, the names of its weight and bias, and whether it is called for its output."""
    # torch's attention, and timm's with a bias of its own, take the weight and compute with it.
    readers = [
        each for each in attentions(network) if isinstance(each, nn.MultiheadAttention) or hasattr(each, "q_bias")
    ]
    read = {id(owner): (owner, weight, bias) for owner, weight, bias in map(qkv, readers)}
    for module in network.modules():
        if id(module) in read:
            yield *read[id(module)], False
        elif isinstance(module, nn.Linear | nn.Conv2d) or (is_norm(module) and module.weight is not None):
            yield module, "weight", "bias", True
