"""The GPUs of this machine, and the share of a GPU's memory that a process may use.

The process that gives out jobs never touches a GPU: there, it would take memory from the cells for the whole run.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import torch

from benchmark.workers import begin_worker, context, warm_up
from methods.errors import UserError, first_line

#: GPU memory that each process needs besides its tensors, in bytes: the CUDA context, and the kernels of torch, cuBLAS
#: and cuDNN. It is 300 to 550 MB, depending on the GPU and on CUDA's version.
CONTEXT = 600 << 20

_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(frozen=True)
class Gpu:
    """A GPU: its name, and its memory in bytes."""

    name: str
    memory: int


def ask(function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Call a function that uses a GPU in a process of its own, which then ends, and return what it returns.

    Raises:
        UserError: raised by the function; or the process did not survive.
    """
    # If this starts the server, it must know what the workers will import.
    warm_up()
    with ProcessPoolExecutor(1, mp_context=context(), initializer=begin_worker) as process:
        try:
            return process.submit(function, *args, **kwargs).result()
        except (RuntimeError, AssertionError, BrokenProcessPool) as error:
            raise UserError(
                f"--device cuda: torch cannot use the GPU here ({first_line(error)}); use --device cpu"
            ) from error


def gpus() -> list[Gpu]:
    """Return the GPUs that this process may use.

    Raises:
        UserError: CUDA does not work here.
    """
    return ask(_gpus)


def _gpus() -> list[Gpu]:
    found = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return [Gpu(each.name, each.total_memory) for each in found]


def limit_memory(share: float) -> None:
    """Let this process allocate only its share of the GPU's memory. Call it before anything is allocated.

    Raises:
        UserError: see memory_fraction.
    """
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(memory_fraction(share, total))


def memory_fraction(share: float, total: int) -> float:
    """Return the part of a GPU's memory that torch may allocate in a process that has a share of the GPU.

    The CUDA context is not allocated by torch, so torch gets what the context leaves of the share. A process that has
    the whole GPU has no limit.

    Args:
        share: above 0, at most 1.
        total: the GPU's memory in bytes.

    Raises:
        UserError: the context leaves nothing.
    """
    if share == 1:
        return 1.0
    if share * total <= CONTEXT:
        raise UserError(
            f"--gpus-per-cell {share:g}: this share of the GPU has {share * total / 2**20:.0f} MB of memory, and CUDA "
            f"itself needs {CONTEXT >> 20} MB in each process; give more than {CONTEXT / total:.2g}"
        )
    return share - CONTEXT / total
