"""How many cells share a GPU, worked out by hand for steps and GPUs of made-up sizes."""

from __future__ import annotations

import pytest
import torch

from benchmark.config import Settings
from benchmark.machine.gpus import Gpu
from benchmark.planning.preparation import Prepared
from benchmark.running.executors.gpu_share import cells_per_gpu
from benchmark.streams.base import Stream, Task
from methods.network import Network

MEGABYTE = 1 << 20


def gpu(memory: int) -> Gpu:
    return Gpu("made up", memory, (8, 0))


@pytest.mark.parametrize(
    ("operations", "megabytes", "memory", "cores", "gpus", "cells"),
    [
        (1e9, 100, 80_000, 64, 1, 4),
        # 32 images of 1.25 GFLOP each are a step of 40, and a larger step keeps the GPU busy.
        (1.25e9, 100, 80_000, 64, 1, 4),
        (1.26e9, 100, 80_000, 64, 1, 1),
        # A cell needs 600 MB for CUDA, and 1000 MB twice. Of the memory four fifths are counted on.
        (1e9, 1000, 8000, 64, 1, 2),
        (1e9, 1000, 9800, 64, 1, 3),
        (1e9, 1000, 2000, 64, 1, 1),
        # One processor for each cell.
        (1e9, 100, 80_000, 2, 1, 2),
        (1e9, 100, 80_000, 7, 2, 3),
        (1e9, 100, 80_000, 2, 8, 1),
    ],
)
def test_cells_share_a_gpu_that_they_do_not_fill(
    monkeypatch: pytest.MonkeyPatch,
    tiny_network: Network,
    tiny_tasks: tuple[Task, ...],
    operations: float,
    megabytes: int,
    memory: int,
    cores: int,
    gpus: int,
    cells: int,
):
    place = "benchmark.running.executors.gpu_share"
    monkeypatch.setattr(f"{place}.training_operations_per_image", lambda *arguments: operations)
    monkeypatch.setattr(f"{place}.training_memory", lambda *arguments: megabytes * MEGABYTE)
    monkeypatch.setattr(f"{place}.usable_cores", lambda: cores)
    settings = Settings(methods=("sgd",), batch_size=32)
    prepared = Prepared(settings, (), Stream("tiny", tiny_tasks), tiny_network, torch.device("cuda"))
    found = [gpu(10 * memory * MEGABYTE)] * (gpus - 1) + [gpu(memory * MEGABYTE)]
    assert cells_per_gpu(prepared, found) == cells


def test_images_need_memory_too(monkeypatch: pytest.MonkeyPatch, tiny_network: Network, tiny_tasks: tuple[Task, ...]):
    largest = max(task.train.images.numel() for task in tiny_tasks)
    monkeypatch.setattr("benchmark.running.executors.gpu_share.usable_cores", lambda: 64)
    monkeypatch.setattr("benchmark.running.executors.gpu_share.training_memory", lambda *arguments: 0)
    prepared = Prepared(Settings(methods=("sgd",)), (), Stream("tiny", tiny_tasks), tiny_network, torch.device("cuda"))
    fits = 3 * (600 * MEGABYTE + largest) / 0.8
    assert cells_per_gpu(prepared, [gpu(int(fits) + 9)]) == 3
    assert cells_per_gpu(prepared, [gpu(int(fits) - 9)]) == 2
