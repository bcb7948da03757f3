"""The GPUs that this process may use, as torch knows them.

Torch respects CUDA_VISIBLE_DEVICES, and counts GPUs in the order in which workers get them. But it starts a CUDA
context to answer, so another process is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch

from benchmark.machine.asking import ask


@dataclass(frozen=True)
class Gpu:
    """A GPU.

    Attributes:
        name: its model.
        memory: in bytes.
        capability: its compute capability, as (8, 0).
    """

    name: str
    memory: int
    capability: tuple[int, int]


def visible_gpus() -> tuple[Gpu, ...]:
    """Return the GPUs that this process may use. It does not touch them, unless it has done so before.

    Call it only for a run on GPUs: the first call takes about a second.

    Raises:
        UserError: CUDA does not work here.
    """
    return _found() if torch.cuda.is_initialized() else _asked()


@cache
def _asked() -> tuple[Gpu, ...]:
    return ask(_found)


def _found() -> tuple[Gpu, ...]:
    each = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return tuple(Gpu(gpu.name, gpu.total_memory, (gpu.major, gpu.minor)) for gpu in each)
