"""Streaming linear discriminant analysis, against the paper's update made image by image in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from baselines.slda import SLDA, Moments, stream
from benchmark.learning.answering import Answering
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from benchmark.streams.base import Task
from methods.network import Network
from methods.recipe import Recipe

Array = np.ndarray[Any, Any]


def one_by_one(features: Array, labels: Array, classes: int) -> tuple[Array, Array, Array]:
    """Counts, means and covariance; a class without an image has the mean 0."""
    counts, means = np.zeros(classes), np.zeros((classes, features.shape[1]))
    covariance = np.zeros((features.shape[1],) * 2)
    for t, (z, y) in enumerate(zip(features, labels, strict=True)):
        off = z - means[y]
        covariance = (t * covariance + t / (t + 1) * np.outer(off, off)) / (t + 1)
        means[y] = (counts[y] * means[y] + z) / (counts[y] + 1)
        counts[y] += 1
    return counts, means, covariance


@pytest.mark.parametrize("sizes", [[37], [1] * 37, [5, 1, 20, 11]])
def test_a_batch_is_as_good_as_one_by_one(sizes: list[int]) -> None:
    """The labels come in blocks and mixed; class 4 has one image, class 5 none."""
    random = np.random.default_rng(0)
    features = random.normal(3, 2, (37, 6))
    labels = np.array([0] * 9 + [1] * 8 + [4] + [2, 0, 3, 1, 2, 3, 3, 0, 2, 1] * 2)[:37]
    labels = np.concatenate([labels, random.integers(0, 4, 37)])[:37]
    zeros = torch.zeros(6, dtype=torch.float64)
    found = Moments(zeros, torch.zeros(6, 6, dtype=torch.float64), torch.zeros(6, 6, dtype=torch.float64))
    parts = zip(torch.from_numpy(features).split(sizes), torch.from_numpy(labels).split(sizes), strict=True)
    for images, own in parts:
        found = stream(found, images, own)
    for value, expected in zip(found, one_by_one(features, labels, 6), strict=True):
        np.testing.assert_allclose(value.numpy(), expected, rtol=1e-12, atol=1e-13)
    assert found.counts[5] == 0
    assert not found.means[5].any()


@pytest.mark.parametrize("scenario", ["task", "class", "domain"])
@pytest.mark.parametrize("shrinkage", [1e-4, 0.3])
def test_it_answers_as_the_paper_says(scenario: str, shrinkage: float, learn_frozen: Callable[..., Any]) -> None:
    """All heads change with the covariance: each task answers with what is known after the last one."""
    cell, tasks, states = learn_frozen(f"slda:shrinkage={shrinkage}", scenario)
    pristine = cell.pristine.eval()
    with torch.no_grad():
        features = np.concatenate([pristine.features(task.train.images).numpy() for task in tasks])
    # With a head per task, its classes are classes of their own.
    firsts = np.cumsum([0, 3, 2]) if scenario == "task" else [0, 0, 0]
    labels = np.concatenate([task.train.labels.numpy() + first for task, first in zip(tasks, firsts, strict=True)])
    classes = labels.max() + 1
    counts, means, covariance = one_by_one(features, labels, classes)
    inverse = np.linalg.inv((1 - shrinkage) * covariance + shrinkage * np.eye(5))
    assert (counts > 0).all()
    for number, (task, first) in enumerate(zip(tasks, firsts, strict=True), 1):
        network = Answering(cell).network(states[-1], number, len(task.classes))
        with torch.no_grad():
            seen, logits = pristine.features(task.test.images).numpy(), network(task.test.images).numpy()
        width = len(task.classes) if scenario == "task" else classes
        for label in range(width):
            mean = means[first + label]
            expected = seen @ inverse @ mean - mean @ inverse @ mean / 2
            np.testing.assert_allclose(logits[:, label], expected, rtol=1e-8, atol=1e-9)


def test_what_it_keeps(learn_frozen: Callable[..., Any]) -> None:
    _, _, states = learn_frozen("slda", "class")
    for state, classes in zip(states, (3, 5, 9), strict=True):
        kept = {name: (list(tensor.shape), tensor.dtype) for name, tensor in state.memory.items()}
        assert kept == {
            "counts": ([classes], torch.int64),
            "means": ([classes, 5], torch.float64),
            "covariance": ([5, 5], torch.float64),
        }
    assert states[-1].memory["counts"].tolist() == [14, 13, 13, 20, 20, 10, 10, 10, 10]


def test_its_operations(make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    """40 images of 5 features in a batch: earlier ones, the covariance, the means; then its factor, and 3 solutions."""
    cell = make_cell("slda")
    learned = learn(cell, start(cell), tiny_tasks[0], Training(Recipe(), epochs=7, batch_size=3))
    backbone = 2 * 8 * 8 * (3 * 6 * 9 + 6 * 5)
    sums = 2 * 40 * 40 * 5 + 2 * 40 * 5 * 5 + 2 * 40 * 3 * 5
    assert learned.operations == 40 * backbone + sums + 5**3 // 3 + 2 * 5**2 * 3


def test_long_features_are_no_danger(make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    """3 x 40 images span less than 300 dimensions: the covariance, rounded, has eigenvalues below -shrinkage."""
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 300, 8)
    with torch.no_grad():
        convolution.weight.mul_(1000)
    backbone = nn.Sequential(convolution, nn.Flatten(), nn.ReLU())
    cell = make_cell("slda", Network(backbone, 300, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)))
    state = start(cell)
    for task in tiny_tasks:
        state = learn(cell, state, task, Training(Recipe(), 1, 8)).state
    assert torch.linalg.eigvalsh(state.memory["covariance"].double())[0] < -1e-4
    network = Answering(cell).network(state, 3, 4)
    right = network(tiny_tasks[2].train.images).argmax(1) == tiny_tasks[2].train.labels
    assert right.double().mean() > 0.8


@pytest.mark.parametrize("shrinkage", [0, -0.1, 1.1])
def test_a_share_that_is_none(shrinkage: float) -> None:
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        SLDA(shrinkage)
