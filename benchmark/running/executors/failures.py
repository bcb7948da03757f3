"""Turns an exception in a worker into the failure of a job, and tells whether the worker can go on."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator

import torch

from benchmark.files import StorageError
from benchmark.learning.origin import origin_of
from benchmark.learning.strategy import DivergedError
from benchmark.progress.events import Failure
from benchmark.running.executors.cell_learner import KeepsError
from methods.errors import UserError, first_line
from methods.method import Method

# The errors of CUDA and its libraries that torch raises without a type of their own. After most of them the process
# cannot use the GPU again, and torch does not say after which.
_OF_GPU = re.compile(
    r"\b(CUDA|cuDNN|cuBLAS|cuBLASLt|cuFFT|cuSOLVER|cuSPARSE|cuRAND|NVRTC|NCCL|HIP|MIOpen|hipBLAS|hipSOLVER|Triton)"
    r"( \w+)? Error\b|\b(CU|HIP)(BLAS|DNN|FFT|SOLVER|SPARSE|RAND)_STATUS_",
    re.IGNORECASE,
)

# So CUDA and its libraries say that the GPU's memory is full, where torch does not say it with a type of its own. cuDNN
# finds no engine if none has the memory that it needs.
_OF_MEMORY = re.compile(
    r"CUDA( driver)? error: out of memory|\bMPS backend out of memory\b"
    r"|\bCU(BLAS|DNN|FFT|SOLVER|SPARSE|RAND)_STATUS_ALLOC_FAILED"
    r"|\bCUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED\b|unable to find an engine to execute this computation"
)


def failure_of(error: Exception) -> Failure:
    """Return the failure for the exception that is being handled."""
    errors = list(_chain(error))
    memory = next(filter(_is_memory, errors), None)
    # A method may hide an error of the GPU, and the GPU may not have told one yet.
    broken = None if memory else next(filter(_is_broken, errors), None) or _unnoticed()
    if isinstance(error, (UserError, DivergedError)):
        cause = str(error)
    elif memory:
        # Behind that, torch tells how the memory is used.
        said = first_line(memory).partition(" GPU 0 has")[0].rstrip(".")
        cause = f"{said}; a smaller --batch-size needs less memory"
    else:
        cause = first_line(broken) if broken else first_line(error) + _place(error)
    return Failure(
        cause,
        traceback.format_exc(),
        diverged=isinstance(error, DivergedError),
        stops=isinstance(error, StorageError),
        keeps=isinstance(error, KeepsError),
        memory=memory is not None,
        broken=broken is not None,
    )


def _place(error: BaseException) -> str:
    """The place in the method's code that an error comes from, as ", in before_task (mine.py, line 12)", or ""."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    methods = [frame.f_locals["self"] for frame in frames if isinstance(frame.f_locals.get("self"), Method)]
    origin = origin_of(error, type(methods[-1])) if methods else None
    return f", in {origin}" if origin else ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and those that led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or bool(
        isinstance(error, RuntimeError) and _OF_MEMORY.search(str(error))
    )


def _is_broken(error: BaseException) -> bool:
    # Torch has the type since version 2.8.
    return isinstance(error, getattr(torch, "AcceleratorError", ())) or bool(
        isinstance(error, RuntimeError) and _OF_GPU.search(str(error))
    )


def _unnoticed() -> RuntimeError | None:
    """Return the error of what still runs on the GPU, if there is one."""
    if not torch.cuda.is_initialized():
        return None
    try:
        torch.cuda.synchronize()
    except RuntimeError as error:
        return error
    return None
