"""The RAM or GPU memory that training needs: measured during it, and estimated before it."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from benchmark.learning.operations import _fine_tuned
from methods.network import Network


def training_memory(pristine: Network, classes: int, image_size: int, batch_size: int) -> int:
    """Return the bytes of a fine-tuning step: tensors kept for the backward pass, weights, gradients, momentum.

    They are found on tensors without data, like the operations.
    """
    network = _fine_tuned(pristine, classes)
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        # Several operations may keep the same values.
        storage = tensor.untyped_storage()
        kept[id(storage)] = storage
        return tensor

    for parameter in network.parameters():
        keep(parameter)
    weights = sum(storage.nbytes() for storage in kept.values())
    images = torch.empty(batch_size, pristine.channels, image_size, image_size, dtype=torch.uint8, device="meta")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = network(images)
    return sum(storage.nbytes() for storage in kept.values()) + logits.nbytes + 2 * weights


class PeakMemory:
    """`bytes`, set after the block: its peak memory above the level before it; None if unknown.

    On a GPU of CUDA, it is what torch allocated there. Else, on Linux, it is the process's resident RAM, which the
    kernel tracks. Apple's GPUs use the RAM too.
    """

    bytes: int | None


@contextmanager
def peak_memory(device: torch.device) -> Iterator[PeakMemory]:
    """Measure a block's peak RAM or GPU memory; see PeakMemory."""
    peak = PeakMemory()
    peak.bytes = None
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        allocated = torch.cuda.memory_allocated(device)
        yield peak
        peak.bytes = max(0, torch.cuda.max_memory_allocated(device) - allocated)
        return
    before = _resident("VmRSS") if _reset_peak() else None
    yield peak
    after = _resident("VmHWM")
    if before is not None and after is not None:
        peak.bytes = max(0, after - before)


def _reset_peak() -> bool:
    """Make the kernel track the process's peak from now on; return False if it cannot."""
    try:
        # Free pages of earlier methods would hide how much RAM this one needs.
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        return False
    return True


def _resident(field: str) -> int | None:
    """Return a field of the process's RAM status, in bytes."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(field + ":")), None)
