"""GPUs, which another process looks at, and shares of their memory, worked out by hand."""

from __future__ import annotations

import multiprocessing
import os
from types import SimpleNamespace

import pytest
import torch

from benchmark.learning import gpus
from methods.errors import UserError

GIGABYTE = 1 << 30


def test_another_process_is_asked():
    assert gpus.ask(os.getpid) != os.getpid()
    assert gpus.ask(int, "11", base=2) == 3
    assert gpus.ask(torch.cuda.is_initialized) is False
    assert multiprocessing.active_children() == []


def test_what_goes_wrong_in_the_other_process_is_one_sentence():
    cause = r"^--device cuda: torch cannot use the GPU here \({}.*\); use --device cpu$"
    with pytest.raises(
        UserError, match=cause.format("BrokenProcessPool: A process in the process pool was terminated")
    ):
        gpus.ask(os._exit, 3)
    with pytest.raises(UserError, match=cause.format("RuntimeError: ")):
        gpus.ask(torch.empty, -1)


def test_there_are_as_many_gpus_as_torch_sees():
    assert len(gpus.gpus()) == torch.cuda.device_count()


def test_a_gpu_has_a_name_and_memory(monkeypatch: pytest.MonkeyPatch):
    properties = [
        SimpleNamespace(name="A", total_memory=5, major=8),
        SimpleNamespace(name="B", total_memory=7, major=9),
    ]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_properties", properties.__getitem__)
    assert gpus._gpus() == [gpus.Gpu("A", 5), gpus.Gpu("B", 7)]


@pytest.mark.parametrize(
    ("share", "total", "fraction"),
    [
        (1.0, 1, 1.0),
        # Of 16 GB, a quarter are 4 GB or 4096 MB. CUDA takes 600 MB of that.
        (0.25, 16 * GIGABYTE, 3496 / 16384),
        (0.5, 6000 << 20, 0.4),
    ],
)
def test_a_share_includes_what_cuda_itself_takes(
    monkeypatch: pytest.MonkeyPatch, share: float, total: int, fraction: float
):
    assert gpus.memory_fraction(share, total) == pytest.approx(fraction, rel=1e-12)
    given = []
    monkeypatch.setattr("torch.cuda.get_device_properties", {0: SimpleNamespace(total_memory=total)}.__getitem__)
    monkeypatch.setattr("torch.cuda.set_per_process_memory_fraction", given.append)
    gpus.limit_memory(share)
    assert given == [pytest.approx(fraction, rel=1e-12)]


def test_a_share_without_room_for_tensors_is_refused():
    with pytest.raises(UserError) as caught:
        gpus.memory_fraction(0.1, 4000 << 20)
    assert str(caught.value) == (
        "--gpus-per-cell 0.1: this share of the GPU has 400 MB of memory, and CUDA itself needs 600 MB in each "
        "process; give more than 0.15"
    )
