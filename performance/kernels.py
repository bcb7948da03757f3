"""How many kernels a training step launches on a GPU, and how long they take, from torch's profiler."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

# Calls of CUDA's two interfaces, as cudaLaunchKernelExC and cuLaunchKernel; a graph of kernels is one launch.
_LAUNCHES = ("cudaLaunch", "cuLaunch", "cudaGraphLaunch", "cuGraphLaunch")


@dataclass(frozen=True)
class Kernels:
    """What a step does on the GPU.

    Attributes:
        launches: calls of the host that start kernels; copies and fills by the driver are left out.
        seconds: sum of the durations of kernels, copies and fills.
    """

    launches: float
    seconds: float


def kernels_of(events: Iterable[Any], steps: int) -> Kernels:
    """Sum the profiler's events of this many steps, per step.

    Args:
        events: torch.autograd.profiler_util.FunctionEvent; their times are in microseconds.
        steps: in which they happened.
    """
    launches, microseconds = 0, 0.0
    for event in events:
        if event.device_type.name == "CPU":
            launches += event.name.startswith(_LAUNCHES)
        elif not event.is_user_annotation:
            microseconds += event.time_range.elapsed_us()
    return Kernels(launches / steps, microseconds / 1e6 / steps)


class SecondEpoch:
    """Profiles the second epoch of a training: in the first one, the harness counts operations."""

    def __init__(self, device: torch.device):
        gpu = [ProfilerActivity.CUDA] if device.type == "cuda" else []
        self._profile = profile(activities=[ProfilerActivity.CPU, *gpu])
        self._epochs = 0

    def on_epoch(self) -> None:
        """Call it after each epoch, when the device has done all its steps."""
        self._epochs += 1
        if self._epochs == 1:
            self._profile.start()
        elif self._epochs == 2:
            self._profile.stop()

    def per_step(self, steps: int) -> Kernels:
        """What a step did, if the epoch had this many."""
        return kernels_of(self._profile.events(), steps)
