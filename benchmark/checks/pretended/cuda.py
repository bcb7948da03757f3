"""Pretends that this machine has a GPU."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial, partialmethod
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from benchmark.checks.pretended.functions import Functions
from benchmark.checks.pretended.log import DeviceError, Log, WaitError
from benchmark.checks.pretended.operators import Operators
from benchmark.checks.pretended.places import GPU, is_on_gpu, means_gpu
from benchmark.checks.pretended.queues import queues

#: Bytes of the pretended GPU, unless others are asked for.
MEMORY = 16 << 30


@contextmanager
def pretended_gpu(free: int = MEMORY, strict: bool = True) -> Iterator[Log]:
    """In the block, torch has a GPU. Nothing is computed there, and nothing else of the process changes.

    Threads that are started in the block see the GPU too.

    Args:
        free: bytes of the GPU that are free.
        strict: see Log.

    Raises:
        DeviceError, WaitError: after the block, if one ended a thread.
    """
    # Optimisers import it, and it looks up each function of torch: it must find the real ones.
    importlib.import_module("torch._dynamo")
    log, run = Log(strict), threading.Thread.run
    of_threads: list[Exception] = []

    def run_with_gpu(thread: threading.Thread) -> None:
        try:
            with _modes(log):
                run(thread)
        except (DeviceError, WaitError) as error:
            of_threads.append(error)

    with ExitStack() as stack:
        for module, replaced in _replacements(log, free):
            for name, value in replaced.items():
                # Versions of torch differ in what they have.
                if hasattr(module, name):
                    stack.enter_context(patch.object(module, name, value))
        stack.enter_context(patch.object(threading.Thread, "run", run_with_gpu))
        stack.enter_context(_modes(log))
        yield log
    for error in of_threads:
        raise error


@contextmanager
def _modes(log: Log) -> Iterator[None]:
    operators = Operators(log)
    with operators, Functions(log, operators):
        yield


def _replacements(log: Log, free: int) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield modules, and what is replaced in each."""
    cuda_queues = queues(log)
    yield torch.Tensor, {"record_stream": lambda tensor, stream: None}
    yield torch.cuda, _statistics(log, free) | _seeds() | cuda_queues
    yield torch.accelerator, _accelerator(log, cuda_queues)
    autocasts = {"autocast": _Autocast}
    yield torch, {"Generator": _Generator, **autocasts}
    yield torch.amp, autocasts
    yield torch.amp.autocast_mode, autocasts
    run = torch.autograd.graph._engine_run_backward
    yield torch.autograd, {"_engine_run_backward": partial(_seeing, log, run)}
    yield torch.autograd.graph.saved_tensors_hooks, {"__enter__": partialmethod(_push_hooks, log)}
    yield torch._C, {"_group_tensors_by_device_and_dtype": _grouped}


def _statistics(log: Log, free: int) -> dict[str, Any]:
    about = SimpleNamespace(
        name="pretended GPU", total_memory=max(free, MEMORY), major=9, minor=0, multi_processor_count=1
    )
    numbers = ("memory_allocated", "memory_reserved", "max_memory_allocated", "max_memory_reserved", "utilization")
    nothing = (
        *("empty_cache", "init", "ipc_collect", "reset_peak_memory_stats", "set_device"),
        *("set_per_process_memory_fraction",),
    )
    return {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "device": nullcontext,
        "get_device_name": lambda device=None: about.name,
        "get_device_capability": lambda device=None: (about.major, about.minor),
        "get_device_properties": lambda device=None: about,
        "is_bf16_supported": lambda including_emulation=True: True,
        "mem_get_info": lambda device=None: (free, about.total_memory),
        "memory_stats": lambda device=None: {},
        "get_per_process_memory_fraction": lambda device=None: 1.0,
        "synchronize": lambda device=None: log.wait("torch.cuda.synchronize"),
        **dict.fromkeys(numbers, lambda device=None: 0),
        **dict.fromkeys(nothing, lambda *args, **kwargs: None),
    }


def _accelerator(log: Log, cuda_queues: dict[str, Any]) -> dict[str, Any]:
    return {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_accelerator": lambda check_available=False: torch.device(GPU.type),
        "current_device_index": lambda: 0,
        "current_stream": cuda_queues["current_stream"],
        "synchronize": lambda device=None: log.wait("torch.accelerator.synchronize"),
    }


def _seeds() -> dict[str, Any]:
    # The pretended GPU draws from the CPU's generator, which is seeded together with it.
    seeds = ("manual_seed", "manual_seed_all", "seed", "seed_all", "set_rng_state", "set_rng_state_all")
    return {
        **dict.fromkeys(seeds, lambda *args: None),
        "get_rng_state": lambda device=None: torch.empty(0, dtype=torch.uint8),
        "get_rng_state_all": list,
    }


def _seeing(log: Log, run: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run what torch calls from within a function, when it has left its modes: there, Python code sees the GPU too."""
    modes = [mode for mode in _get_current_dispatch_mode_stack() if isinstance(mode, Operators)]
    seen = any(isinstance(mode, Functions) for mode in _get_current_function_mode_stack())
    with Functions(log, modes[-1]) if modes and not seen else nullcontext():
        return run(*args, **kwargs)


def _push_hooks(hooks: torch.autograd.graph.saved_tensors_hooks, log: Log) -> None:
    """Enter a block whose saved tensors go through hooks, as those of torch.utils.checkpoint."""
    pack, unpack = (partial(_seeing, log, hook) for hook in (hooks.pack_hook, hooks.unpack_hook))
    torch._C._autograd._push_saved_tensors_default_hooks(pack, unpack)


class _AnyGenerator(type(torch.Generator)):  # type: ignore[misc]
    """Lets every generator of torch be an instance of the pretended class."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _REAL_GENERATOR)


_REAL_GENERATOR = torch.Generator


class _Generator(torch.Generator, metaclass=_AnyGenerator):
    """A generator of the CPU or of the pretended GPU."""

    def __new__(cls, device: Any = "cpu") -> _Generator:
        made = super().__new__(cls)
        made._pretended = means_gpu(device)
        return made

    def __init__(self, device: Any = "cpu"):
        super().__init__()

    _pretended: bool

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return GPU if self._pretended else torch.device("cpu")


class _Autocast(torch.autocast):
    """Computes on the pretended GPU in the format of torch.autocast for CPUs, whose list of operators is much alike."""

    def __init__(self, device_type: str, *args: Any, **kwargs: Any):
        super().__init__("cpu" if device_type == GPU.type else device_type, *args, **kwargs)


_real_grouped: Callable[..., Any] = torch._C._group_tensors_by_device_and_dtype


def _grouped(tensors: Any, with_indices: bool = False) -> dict[tuple[torch.device, torch.dtype], Any]:
    """Group lists of tensors as torch does, by device and type of the first list's tensors."""
    found: dict[tuple[torch.device, torch.dtype], Any] = {}
    for (device, dtype), (lists, indices) in _real_grouped(tensors, True).items():
        for row, first in enumerate(lists[0]):
            key = (GPU if is_on_gpu(first) else device, dtype)
            chosen, rows = found.setdefault(key, ([[] for _ in lists], []))
            # A list may be left empty.
            for own, values in zip(chosen, lists, strict=True):
                own += values[row : row + 1]
            rows.append(indices[row])
    return found
