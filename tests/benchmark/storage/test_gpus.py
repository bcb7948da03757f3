"""The GPUs of a made-up driver, and that nobody needs a CUDA context to know them."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
import torch

from benchmark.storage import gpus
from benchmark.storage.gpus import Gpu, driver_version, visible_gpus

MACHINE = [
    ("GPU-11111111-aaaa", "NVIDIA H200", (9, 0)),
    ("GPU-11112222-bbbb", "NVIDIA A100", (8, 0)),
    ("GPU-33333333-cccc", "Tesla T4", (7, 5)),
]
H200, A100, T4 = (Gpu(name, capability) for _, name, capability in MACHINE)
SLICE = "MIG-44444444-dddd"


NAMES = {
    "nvmlInit_v2": "begin",
    "nvmlSystemGetDriverVersion": "driver",
    "nvmlDeviceGetCount_v2": "count",
    "nvmlDeviceGetHandleByIndex_v2": "by_index",
    "nvmlDeviceGetHandleByUUID": "by_uuid",
    "nvmlDeviceGetUUID": "uuid",
    "nvmlDeviceGetName": "name",
    "nvmlDeviceGetCudaComputeCapability": "capability",
}


class Nvml:
    """NVML as its documentation describes it: functions return 0, or an error, and write their results."""

    def __init__(self, failing: str = ""):
        self.failing = failing

    def __getattr__(self, name: str) -> Any:
        own = getattr(self, NAMES[name])
        return (lambda *arguments: 999) if name == self.failing else lambda *arguments: own(*arguments) or 0

    def begin(self) -> None:
        pass

    def driver(self, text: Any, length: int) -> None:
        text.value = b"580.65.06"

    def count(self, count: Any) -> None:
        count._obj.value = len(MACHINE)

    def by_index(self, number: int, handle: Any) -> None:
        handle._obj.value = 1000 + number

    def by_uuid(self, uuid: bytes, handle: Any) -> int | None:
        if uuid.decode() != SLICE:
            return 6
        handle._obj.value = 1000
        return None

    def uuid(self, handle: ctypes.c_void_p, text: Any, length: int) -> None:
        text.value = MACHINE[handle.value - 1000][0].encode()

    def name(self, handle: ctypes.c_void_p, text: Any, length: int) -> None:
        text.value = MACHINE[handle.value - 1000][1].encode()

    def capability(self, handle: ctypes.c_void_p, major: Any, minor: Any) -> None:
        major._obj.value, minor._obj.value = MACHINE[handle.value - 1000][2]


@pytest.fixture
def no_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever starts a CUDA context fails."""

    def started(*arguments: object) -> None:
        raise AssertionError("this would start a CUDA context")

    for name in ("_lazy_init", "init"):
        monkeypatch.setattr(torch.cuda, name, started)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch, no_context: None) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Nvml())


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, [H200, A100, T4]),
        ("1", [A100]),
        ("2, 0", [T4, H200]),
        ("GPU-3333", [T4]),
        ("GPU-11112222-bbbb,GPU-3", [A100, T4]),
        (SLICE, [H200]),
        ("", []),
        ("-1", []),
        # As CUDA does: nothing after what names no GPU, or more than one.
        ("0,7,1", [H200]),
        ("2,GPU-1111,0", [T4]),
        ("MIG-unknown,0", []),
    ],
)
def test_the_gpus_that_a_process_sees(
    driver: None, monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: list[Gpu]
):
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert visible_gpus() == expected


def test_the_driver(driver: None):
    assert driver_version() == "580.65.06"


def missing(name: str) -> Any:
    raise OSError(name)


class Old:
    """A library that lacks the functions used here."""


@pytest.mark.parametrize("library", [missing, lambda name: Nvml("nvmlInit_v2"), lambda name: Old()])
def test_without_the_library_only_their_number_is_known(
    no_context: None, monkeypatch: pytest.MonkeyPatch, library: Any
):
    monkeypatch.setattr(ctypes, "CDLL", library)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert visible_gpus() == [Gpu("GPU of an unknown model"), Gpu("GPU of an unknown model")]
    assert driver_version() is None


@pytest.mark.parametrize(
    ("failing", "expected"),
    [
        ("nvmlDeviceGetName", Gpu("GPU of an unknown model", (9, 0))),
        ("nvmlDeviceGetCudaComputeCapability", Gpu("NVIDIA H200", None)),
    ],
)
def test_what_the_library_does_not_know(no_context: None, monkeypatch: pytest.MonkeyPatch, failing: str, expected: Gpu):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Nvml(failing))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert visible_gpus() == [expected]


def test_the_machine_of_these_tests():
    assert len(gpus.visible_gpus()) == torch.cuda.device_count()
