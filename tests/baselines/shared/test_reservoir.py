"""The replay memory is a uniform sample of everything offered, and what belongs together stays together."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from baselines.shared.reservoir import append, draw, reservoir_step, samples_of


def numbered(task: int, first: int, count: int) -> dict[str, Tensor]:
    """Samples whose pixels and label are their number."""
    numbers = torch.arange(first, first + count)
    return samples_of(task, numbers.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2).contiguous(), numbers)


def fill(capacities: list[int], sizes: list[int], seed: int) -> dict[str, Tensor]:
    """A memory after tasks of these sizes, with this much room after each."""
    kept: dict[str, Tensor] = {}
    generator = torch.Generator().manual_seed(seed)
    seen = 0
    for task, (capacity, size) in enumerate(zip(capacities, sizes, strict=True), 1):
        stay, enter = reservoir_step(seen, len(kept.get("replay.labels", ())), size, capacity, generator)
        append(kept, {name: rows[enter] for name, rows in numbered(task, seen, size).items()}, stay)
        seen += size
    return kept


@pytest.mark.parametrize("capacities", [[10, 10, 10], [12, 11, 10]])
def test_every_sample_of_the_stream_is_kept_equally_often(capacities: list[int]) -> None:
    """30 samples in three tasks, 10 slots: each must be kept in 1/3 of the draws (chi-squared test)."""
    draws, counts = 3000, torch.zeros(30)
    for seed in range(draws):
        counts[fill(capacities, [12, 3, 15], seed)["replay.labels"].long()] += 1
    assert int(counts.sum()) == 10 * draws
    # What is kept is drawn without replacement, which makes the counts vary less than chisquare expects.
    assert chisquare(counts.numpy()).pvalue > 0.001
    assert counts.min() > 0.9 * draws / 3
    assert counts.max() < 1.1 * draws / 3


def test_pairs_are_kept_equally_often() -> None:
    """Two samples of six are kept: each of the 15 pairs, within a task or across tasks, in 1/15 of the draws."""
    counts = torch.zeros(6, 6)
    for seed in range(3000):
        first, second = fill([2, 2, 2], [3, 1, 2], seed)["replay.labels"].tolist()
        counts[first, second] += 1
    pairs = counts[counts > 0]
    assert len(pairs) == 15
    assert chisquare(pairs.numpy()).pvalue > 0.001


def test_image_label_and_task_stay_together() -> None:
    kept = fill([50, 50, 50], [100, 20, 60], seed=0)
    labels = kept["replay.labels"].long()
    assert torch.equal(kept["replay.images"][:, 0, 0, 0].long(), labels)
    assert torch.equal(kept["replay.tasks"].long(), 1 + (labels >= 100).long() + (labels >= 120).long())
    assert len(labels.unique()) == 50


def test_everything_is_kept_while_there_is_room() -> None:
    kept = fill([50, 50], [7, 8], seed=0)
    assert torch.equal(kept["replay.labels"].long(), torch.arange(15))


def test_is_stored_as_bytes() -> None:
    kept = fill([50], [100], seed=0)
    assert kept["replay.images"].dtype == torch.uint8
    assert sum(kept[f"replay.{part}"].nbytes for part in ("images", "labels", "tasks")) == 50 * (3 * 2 * 2 + 4)


def test_draws_are_uniform_with_replacement() -> None:
    kept = fill([5], [5], seed=0) | {"seen": torch.tensor(5)}
    samples = draw(kept, 20_000, torch.Generator().manual_seed(1))
    assert samples.keys() == {"images", "labels", "tasks"}
    assert torch.equal(samples["images"][:, 0, 0, 0].long(), samples["labels"].long())
    assert chisquare(torch.bincount(samples["labels"], minlength=5).numpy()).pvalue > 0.001
