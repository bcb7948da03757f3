"""Piggyback: where it starts, its masks, and what it stores."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from baselines.piggyback import Piggyback, ThresholdMask
from benchmark.learning.learner import Cell, prepare
from benchmark.streams.base import Task
from methods.network import Network


def test_the_mask_keeps_scores_above_the_threshold() -> None:
    mask = ThresholdMask(torch.tensor([0.01, 0.005, 0.0051, -1.0, 0.0]), threshold=0.005)
    with torch.no_grad():
        assert mask(torch.arange(1.0, 6.0)).tolist() == [1.0, 0.0, 3.0, 0.0, 0.0]


@pytest.mark.parametrize("task", [1, 2])
def test_a_task_starts_as_the_backbone(
    task: int, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], tiny_network: Network
) -> None:
    images = tiny_tasks[0].test.images
    network = prepare(make_cell("piggyback"), task).network.eval()
    with torch.no_grad():
        assert torch.equal(network.features(images), tiny_network.eval().features(images))
    scores = [p for name, p in network.named_parameters() if name.endswith("scores")]
    assert [s.unique().tolist() for s in scores] == [[pytest.approx(0.01)]] * 2


@pytest.mark.parametrize("threshold", [-0.1, 0.01, 1.0])
def test_options_are_checked(threshold: float) -> None:
    with pytest.raises(ValueError, match=r"must be at least 0 and below 0\.01, where the scores start"):
        Piggyback(threshold=threshold)
