"""Which task keeps which weight of a layer, stored as the bits of the tasks' numbers."""

from __future__ import annotations

from functools import reduce
from operator import or_

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from baselines.shared.bits import pack_bits, packable, unpack_bits
from methods import Network


class Ownership(nn.Module):
    """A parametrisation: a task sees its own weights and those of earlier tasks, and trains its own.

    Args:
        weight: the weights.
        task: the number of the task being learned or evaluated.

    Attributes:
        owner: int16, of the weight's shape: the number of the task that keeps it, 0 if it is free.
        held: in training, which weights are the task's, and all others as they are seen; see `hold`.
    """

    owner: Tensor

    def __init__(self, weight: Tensor, task: int):
        super().__init__()
        self.task = task
        self.register_buffer("owner", torch.zeros_like(weight, dtype=torch.int16))
        self.held: tuple[Tensor, Tensor] | None = None

    def own(self) -> Tensor:
        """Which weights are the task's."""
        return self.owner == self.task

    def hold(self, weight: Tensor) -> None:
        """Hold the weights that are not the task's, until the owners change: the steps need not find them anew."""
        self.held = self._divided(weight)

    def restore(self, weight: Tensor) -> None:
        """Undo what a step has done to weights that are not the task's."""
        assert self.held is not None
        own, others = self.held
        torch.where(own, weight, others, out=weight)

    def forward(self, weight: Tensor) -> Tensor:
        if self.held is None and not torch.is_grad_enabled():
            # Where nothing is trained, fewer passes over the weights give the same.
            return torch.where((self.owner > 0) & (self.owner <= self.task), weight, 0.0)
        own, others = self.held or self._divided(weight)
        return torch.where(own, weight, others)

    def _divided(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Which weights are the task's, and the values of the others: those of earlier tasks, 0 for the rest."""
        earlier = (self.owner > 0) & (self.owner < self.task)
        return self.own(), torch.where(earlier, weight.detach(), 0.0)


def owned_layers(network: nn.Module) -> list[tuple[Tensor, Ownership]]:
    """The weights of each layer, and their owners."""
    lists = [module for module in network.modules() if isinstance(module, ParametrizationList)]
    return [(one.original, ownership) for one in lists for ownership in one if isinstance(ownership, Ownership)]


def owners_to_bits(network: Network, tensors: dict[str, Tensor], last: int) -> dict[str, Tensor]:
    """The tensors of a part, with owners as ceil(log2(last + 1)) bits a weight: see `Method.stored`.

    Args:
        last: the highest task number among the owners.
    """
    planes = range(last.bit_length())
    bits = {
        name: torch.stack([pack_bits(tensors[name] >> bit & 1) for bit in planes])
        for name, _, _ in packable(network, tensors, Ownership)
    }
    return tensors | bits


def owners_from_bits(network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `owners_to_bits`."""
    owners = {
        name: reduce(or_, (unpack_bits(p, live.shape).short() << bit for bit, p in enumerate(tensors[name])))
        for name, _, live in packable(network, tensors, Ownership)
    }
    return tensors | owners
