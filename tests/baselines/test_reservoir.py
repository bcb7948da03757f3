"""The replay memory is a uniform sample of everything offered."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from baselines.reservoir import MemorySize, Reservoir
from benchmark.streams.base import LabelledImages


def numbered(first: int, count: int) -> LabelledImages:
    """Images whose pixels and label are their number."""
    numbers = torch.arange(first, first + count)
    return LabelledImages(numbers.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2).contiguous(), numbers)


def fill(capacity: int, sizes: list[int], seed: int) -> dict[str, torch.Tensor]:
    kept: dict[str, torch.Tensor] = {}
    generator = torch.Generator().manual_seed(seed)
    first = 0
    for task, size in enumerate(sizes, 1):
        Reservoir(kept, MemorySize(images=capacity), generator).offer(numbered(first, size), task)
        first += size
    return kept


def test_every_sample_of_the_stream_is_kept_equally_often() -> None:
    """30 samples in three tasks, 10 slots: each must be kept in 1/3 of the draws (chi-squared test)."""
    draws, counts = 3000, torch.zeros(30)
    for seed in range(draws):
        counts[fill(10, [12, 3, 15], seed)["replay.labels"].long()] += 1
    assert int(counts.sum()) == 10 * draws
    # What is kept is drawn without replacement, which makes the counts vary less than chisquare expects.
    assert chisquare(counts.numpy()).pvalue > 0.001
    assert counts.min() > 0.9 * draws / 3
    assert counts.max() < 1.1 * draws / 3


def test_image_label_and_task_stay_together() -> None:
    kept = fill(50, [100, 20, 60], seed=0)
    labels = kept["replay.labels"].long()
    assert torch.equal(kept["replay.images"][:, 0, 0, 0].long(), labels)
    assert torch.equal(kept["replay.tasks"].long(), 1 + (labels >= 100).long() + (labels >= 120).long())
    assert len(labels.unique()) == 50
    assert int(kept["seen"]) == 180


def test_everything_is_kept_while_there_is_room() -> None:
    kept = fill(50, [7, 8], seed=0)
    assert torch.equal(kept["replay.labels"].long(), torch.arange(15))


def test_is_stored_as_bytes() -> None:
    kept = fill(50, [100], seed=0)
    assert kept["replay.images"].dtype == torch.uint8
    assert sum(kept[f"replay.{part}"].nbytes for part in ("images", "labels", "tasks")) == 50 * (3 * 2 * 2 + 4)


def test_draws_are_uniform_with_replacement() -> None:
    kept = fill(5, [5], seed=0)
    reservoir = Reservoir(kept, MemorySize(images=5), torch.Generator().manual_seed(1))
    _, labels, _ = reservoir.draw(20_000)
    assert chisquare(torch.bincount(labels, minlength=5).numpy()).pvalue > 0.001


@pytest.mark.parametrize(
    ("text", "capacity"),
    [("500", 500), ("10MB", 10_000_000 // 150_532), ("1kB", 1), ("1GB", 1_000_000_000 // 150_532)],
)
def test_size_in_images_or_bytes(text: str, capacity: int) -> None:
    """An image of 224x224 takes 150,528 bytes of pixels and 4 of label and task."""
    assert MemorySize.parse(text).capacity(150_528) == capacity


@pytest.mark.parametrize("text", ["0", "-3", "10XB", "many", "", "1.5MB"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="500"):
        MemorySize.parse(text)
