"""The GPUs that this process sees, as NVIDIA's management library (NVML) knows them.

NVML belongs to the driver and starts no CUDA context. torch.cuda would start one, which takes memory of the GPU in
every process that asks.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

_LIBRARY = "nvml.dll" if os.name == "nt" else "libnvidia-ml.so.1"

# Longer than any name or version that the library gives, in bytes.
_LONGEST = 128

_UNKNOWN = "GPU of an unknown model"


@dataclass(frozen=True)
class Gpu:
    """A GPU.

    Attributes:
        name: its model.
        capability: its compute capability, as (8, 0); None if it is unknown.
    """

    name: str
    capability: tuple[int, int] | None = None


def visible_gpus() -> list[Gpu]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves, in NVML's order. Without NVML, only their number is known."""
    library = _library()
    if library is None:
        return [Gpu(_UNKNOWN)] * torch.cuda.device_count()
    return [_gpu(library, handle) for handle in _visible(library)]


def driver_version() -> str | None:
    """The version of NVIDIA's driver; None if there is none."""
    library = _library()
    return None if library is None else _text(library.nvmlSystemGetDriverVersion)


def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(_LIBRARY)
        return None if library.nvmlInit_v2() else library
    except (OSError, AttributeError):
        return None


def _gpu(library: ctypes.CDLL, handle: ctypes.c_void_p) -> Gpu:
    major, minor = ctypes.c_int(), ctypes.c_int()
    unknown = library.nvmlDeviceGetCudaComputeCapability(handle, ctypes.byref(major), ctypes.byref(minor))
    return Gpu(_text(library.nvmlDeviceGetName, handle) or _UNKNOWN, None if unknown else (major.value, minor.value))


def _visible(library: ctypes.CDLL) -> list[ctypes.c_void_p]:
    """The handles of the visible GPUs. As for CUDA, the first entry that names none ends the list."""
    count = ctypes.c_uint()
    if library.nvmlDeviceGetCount_v2(ctypes.byref(count)):
        return []
    numbers = range(count.value)
    asked = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = list(map(str, numbers)) if asked is None else [text.strip() for text in asked.split(",")]
    found: list[ctypes.c_void_p] = []
    for name in names:
        handle = ctypes.c_void_p()
        if name.startswith("MIG-"):
            failed = library.nvmlDeviceGetHandleByUUID(name.encode(), ctypes.byref(handle))
        else:
            number = _number(library, name, numbers)
            failed = number is None or library.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(handle))
        if failed:
            break
        found.append(handle)
    return found


def _number(library: ctypes.CDLL, name: str, numbers: Sequence[int]) -> int | None:
    """The number of the GPU with this number, or with the only UUID that begins so; None if there is none."""
    if not name.startswith("GPU-"):
        return int(name) if name.isdecimal() and int(name) in numbers else None
    fitting = [number for number in numbers if _uuid(library, number).startswith(name)]
    return fitting[0] if len(fitting) == 1 else None


def _uuid(library: ctypes.CDLL, number: int) -> str:
    handle = ctypes.c_void_p()
    failed = library.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(handle))
    return "" if failed else _text(library.nvmlDeviceGetUUID, handle) or ""


def _text(ask: Callable[..., int], *about: ctypes.c_void_p) -> str | None:
    """The text that a function of the library writes; None if it fails."""
    text = ctypes.create_string_buffer(_LONGEST)
    return None if ask(*about, text, _LONGEST) else text.value.decode(errors="replace")
