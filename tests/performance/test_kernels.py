from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.autograd import DeviceType

from performance.kernels import SecondEpoch, kernels_of


def event(name: str, device: DeviceType, microseconds: float, annotation: bool = False) -> SimpleNamespace:
    span = SimpleNamespace(elapsed_us=lambda: microseconds)
    return SimpleNamespace(name=name, device_type=device, time_range=span, is_user_annotation=annotation)


def test_launches_are_those_of_the_host_and_seconds_those_of_the_device() -> None:
    host = ("aten::add", "cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cudaGraphLaunch")
    others = ("cudaMemcpyAsync", "cudaDeviceSynchronize", "cudaMemsetAsync")
    events = [event(name, DeviceType.CPU, 1000.0) for name in (*host, *others)]
    device = [("void gemm", 30.0, False), ("Memcpy HtoD", 8.0, False), ("ProfilerStep#1", 500.0, True)]
    events += [event(name, DeviceType.CUDA, time, annotation) for name, time, annotation in device]
    found = kernels_of(events, steps=2)
    assert found.launches == 2
    assert found.seconds == pytest.approx(19e-6)


def test_only_the_second_epoch_is_profiled() -> None:
    watch = SecondEpoch(torch.device("cpu"))
    torch.ones(2).exp()
    for function in (torch.cos, torch.sin):
        watch.on_epoch()
        function(torch.ones(2))
    watch.on_epoch()
    names = {event.name for event in watch._profile.events()}
    assert "aten::cos" in names
    assert not {"aten::exp", "aten::sin"} & names
    assert watch.per_step(1).launches == 0
