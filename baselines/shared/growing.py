"""Shared tensors of which each task adds its own. Those of earlier tasks are used, and never change again."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from methods import Network
from methods.heads import is_head


class Growing(nn.Module):
    """A tensor for each task so far, named by the task's number.

    Args:
        task: the number of the task being learned or evaluated; there are tensors for the tasks up to it.
        initial: the value of each until it is restored.
    """

    def __init__(self, task: int, initial: Tensor):
        super().__init__()
        for number in range(1, task + 1):
            self.register_parameter(str(number), nn.Parameter(initial.clone()))

    def each(self) -> list[Tensor]:
        """The tensors, in the order of the tasks."""
        return [self.get_parameter(str(number)) for number in range(1, len(self._parameters) + 1)]

    def newest(self) -> Tensor:
        """The tensor of the last task."""
        return self.each()[-1]


def grow(network: Network, tensors: Mapping[str, Tensor]) -> None:
    """Add the tensors that a state has and the network has not: those of tasks after the one that is evaluated."""
    live = {name for name, _, _ in network.tensors()}
    for name, value in tensors.items():
        if name not in live and not is_head(name):
            owner, _, number = name.rpartition(".")
            new = torch.empty_like(value, device=network.scale.device)
            network.get_submodule(owner).register_parameter(number, nn.Parameter(new, requires_grad=False))
