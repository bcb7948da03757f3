"""What is known of the GPUs, and that a process that knows it has not touched them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmark.checks.pretended.cuda import MEMORY, pretended_gpu
from benchmark.machine import gpus
from benchmark.machine.gpus import Gpu, visible_gpus
from methods.errors import UserError

PROPERTIES = [
    SimpleNamespace(name="NVIDIA H200", total_memory=150 << 30, major=9, minor=0, multi_processor_count=132),
    SimpleNamespace(name="Tesla T4", total_memory=15 << 30, major=7, minor=5, multi_processor_count=40),
]
GPUS = (Gpu("NVIDIA H200", 150 << 30, (9, 0)), Gpu("Tesla T4", 15 << 30, (7, 5)))


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Nothing is remembered from other tests, or for them."""
    gpus._asked.cache_clear()
    yield
    gpus._asked.cache_clear()


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(PROPERTIES))
    monkeypatch.setattr(torch.cuda, "get_device_properties", PROPERTIES.__getitem__)


@pytest.fixture
def untouchable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any use of CUDA fails in this process, also one that starts no context: it would fix which GPUs CUDA shows."""

    def touched(*arguments: object) -> None:
        raise AssertionError("this process uses CUDA")

    for name in ("_lazy_init", "init", "is_available", "device_count", "get_device_properties"):
        monkeypatch.setattr(torch.cuda, name, touched)


def test_torch_knows_the_gpus(two_gpus: None):
    assert gpus._found() == GPUS


@pytest.mark.usefixtures("untouchable")
def test_another_process_is_asked_once(monkeypatch: pytest.MonkeyPatch):
    asked: list[Any] = []
    monkeypatch.setattr(gpus, "ask", lambda function: asked.append(function) or GPUS)
    assert [visible_gpus(), visible_gpus()] == [GPUS, GPUS]
    assert asked == [gpus._found]


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what torch says without a GPU")
@pytest.mark.usefixtures("untouchable")
def test_the_other_process_is_real():
    assert visible_gpus() == ()


def test_a_process_that_uses_a_gpu_asks_no_other(two_gpus: None, monkeypatch: pytest.MonkeyPatch):
    """As a worker, which may not start one."""
    monkeypatch.setattr(gpus, "ask", None)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    assert visible_gpus() == GPUS


def test_the_pretended_gpu():
    with pretended_gpu():
        assert visible_gpus() == (Gpu("pretended GPU", MEMORY, (9, 0)),)


def test_a_gpu_that_does_not_work_is_one_sentence_each_time(monkeypatch: pytest.MonkeyPatch):
    # Any function of torch that fails in the other process.
    monkeypatch.setattr(gpus, "_found", partial(torch.empty, -1))
    for _ in range(2):
        with pytest.raises(
            UserError, match=r"^--device cuda: torch cannot use the GPU here \(RuntimeError: Trying.*cpu$"
        ):
            visible_gpus()
