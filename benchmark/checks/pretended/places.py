"""Where a tensor is: a storage has a mark if it counts as on the GPU, or as in pinned memory.

The mark is an attribute of the storage. So all views of a tensor share it, and it goes away with the values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

#: The pretended GPU.
GPU = torch.device("cuda", 0)

_GPU, _PINNED = "_on_pretended_gpu", "_in_pretended_pinned_memory"


def storage_of(tensor: Tensor) -> Any:
    """Return the storage of a tensor's values; None if it has none, such as a tensor without values."""
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    if tensor.is_meta or tensor.layout != torch.strided:
        return None
    return tensor.untyped_storage()


def is_on_gpu(tensor: Tensor) -> bool:
    """Whether a tensor counts as on the GPU."""
    return hasattr(storage_of(tensor), _GPU)


def put_on_gpu(tensor: Tensor) -> None:
    """Let a tensor and all its views count as on the GPU."""
    _mark(tensor, _GPU)


def is_pinned(tensor: Tensor) -> bool:
    """Whether a tensor counts as in pinned memory, from which a GPU copies without a wait."""
    return hasattr(storage_of(tensor), _PINNED)


def pin(tensor: Tensor) -> None:
    """Let a tensor and all its views count as in pinned memory."""
    _mark(tensor, _PINNED)


def _mark(tensor: Tensor, name: str) -> None:
    storage = storage_of(tensor)
    if storage is not None:
        setattr(storage, name, True)


def means_gpu(device: Any) -> bool:
    """Whether a device, as a function of torch takes it, is the GPU."""
    return isinstance(device, int) or torch.device(device).type == GPU.type


def tensors_in(*values: Any) -> Iterator[Tensor]:
    """Yield all tensors in arguments or results, also those in lists, tuples and dictionaries."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from tensors_in(*value)
        elif isinstance(value, dict):
            yield from tensors_in(*value.values())
