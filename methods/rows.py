"""Rows of tensors for the training device: all are there if they fit, else only those that are needed."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class Rows:
    """Tensors with a row for each sample, of which a step takes some. Nothing waits for the device.

    Args:
        tensors: name -> [N, ...], on the CPU. They are not changed, and small ones are copied to a GPU once.
        device: where the taken rows go.
    """

    def __init__(self, tensors: Mapping[str, Tensor], device: torch.device):
        self.tensors = tensors
        self.device = device
        near = fits(sum(tensor.nbytes for tensor in tensors.values()), device)
        self._placed = {name: tensor.to(device) for name, tensor in tensors.items()} if near else tensors

    def take(self, chosen: Tensor) -> dict[str, Tensor]:
        """The chosen rows of each tensor, on the device.

        Args:
            chosen: int64 [n], on the CPU.
        """
        places = {tensor.device for tensor in self._placed.values()}
        where = {place: sent(chosen, place) for place in places}
        return {name: sent(tensor[where[tensor.device]], self.device) for name, tensor in self._placed.items()}


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device. A copy from RAM to a GPU goes on while the process does other work."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def fits(nbytes: int, device: torch.device) -> bool:
    """Whether so many bytes are so little of what this process may still take of a GPU that they can stay there."""
    return device.type == "cuda" and nbytes < _free(device) / 4


def _free(device: torch.device) -> float:
    """The bytes of a GPU that are free and that this process may take: it may be limited to a share."""
    free, total = torch.cuda.mem_get_info(device)
    share = torch.cuda.get_per_process_memory_fraction(device)
    return min(free, share * total - torch.cuda.memory_allocated(device))
