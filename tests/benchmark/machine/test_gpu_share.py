"""Shares of a GPU's memory, worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from benchmark.machine.gpu_share import limit_memory, memory_fraction
from methods.errors import UserError

GIGABYTE = 1 << 30


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
    assert memory_fraction(share, total) == pytest.approx(fraction, rel=1e-12)
    given = []
    monkeypatch.setattr("torch.cuda.get_device_properties", {0: SimpleNamespace(total_memory=total)}.__getitem__)
    monkeypatch.setattr("torch.cuda.set_per_process_memory_fraction", given.append)
    limit_memory(share)
    assert given == [pytest.approx(fraction, rel=1e-12)]


def test_a_share_without_room_for_tensors_is_refused():
    with pytest.raises(UserError) as caught:
        memory_fraction(0.1, 4000 << 20)
    assert str(caught.value) == (
        "--gpus-per-cell 0.1: this share of the GPU has 400 MB of memory, and CUDA itself needs 600 MB in each "
        "process; give more than 0.15"
    )
