"""What differs between kinds of devices."""

from __future__ import annotations

import torch
from torch import Tensor


def is_gpu(device: torch.device) -> bool:
    """Whether it is a GPU: one of CUDA, or one of Apple's, which torch calls "mps"."""
    return device.type in ("cuda", "mps")


def precise(device: torch.device) -> torch.device:
    """The device for double precision: the same one, or the CPU if it has none, as Apple's GPUs."""
    return torch.device("cpu") if device.type == "mps" else device


def double(tensor: Tensor) -> Tensor:
    """The tensor in double precision, on the device that `precise` says."""
    return tensor.to(precise(tensor.device)).double()
