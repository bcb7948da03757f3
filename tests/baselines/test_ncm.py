"""The nearest class mean, against means and cosines worked in NumPy in double precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.images.labelled import LabelledImages
from benchmark.learning.answering import Answering
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from benchmark.streams.base import Task
from methods.recipe import Recipe


def features_of(cell: Cell, images: torch.Tensor) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        return cell.pristine.eval().features(images).numpy()


def unit_means(features: np.ndarray[Any, Any], labels: torch.Tensor, classes: int) -> np.ndarray[Any, Any]:
    """The mean of each class, divided by its length."""
    means = np.stack([features[labels.numpy() == label].mean(0) for label in range(classes)])
    return means / np.linalg.norm(means, axis=1, keepdims=True)


@pytest.mark.parametrize("scenario", ["task", "class", "domain"])
def test_it_answers_with_the_nearest_mean(scenario: str, learn_frozen: Callable[..., Any]) -> None:
    cell, tasks, states = learn_frozen("ncm", scenario)
    features = [features_of(cell, task.train.images) for task in tasks]
    for number, task in enumerate(tasks, 1):
        if scenario == "task":
            images, labels, classes = features[number - 1], task.train.labels, len(task.classes)
        else:
            images = np.concatenate(features)
            labels = torch.cat([each.train.labels for each in tasks])
            classes = int(labels.max()) + 1
        means = unit_means(images, labels, classes)
        network = Answering(cell).network(states[-1], number, len(task.classes))
        seen = features_of(cell, task.test.images)
        with torch.no_grad():
            logits = network(task.test.images).numpy()
        np.testing.assert_allclose(logits, seen @ means.T, rtol=1e-10, atol=1e-12)
        cosines = seen @ means.T / np.linalg.norm(seen, axis=1, keepdims=True)
        assert (logits.argmax(1) == cosines.argmax(1)).all()


def test_what_it_keeps(learn_frozen: Callable[..., Any]) -> None:
    """A sum of features for each class that comes again; otherwise nothing but the heads, 5 + 1 values a class."""
    assert [learn_frozen("ncm", scenario)[2][-1].count_bytes()["memory"] for scenario in ("task", "class")] == [0, 0]
    _, _, states = learn_frozen("ncm", "domain")
    assert {name: list(tensor.shape) for name, tensor in states[-1].memory.items()} == {"sums": [3, 5]}
    _, _, states = learn_frozen("ncm", "class")
    assert states[-1].count_bytes()["shared"] == 8 * (5 + 1) * 9
    assert len(states[-1].shared["heads.shared.bias"].nonzero()) == 0


def test_a_class_of_one_image(make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    """Its mean is that image; the labels come in any order."""
    images = tiny_tasks[0].train.images[:4]
    data = LabelledImages(images, torch.tensor([2, 0, 1, 2]))
    cell = make_cell("ncm")
    state = learn(cell, start(cell), replace(tiny_tasks[0], train=data), Training(Recipe(), 1, 8)).state
    expected = unit_means(features_of(cell, images), data.labels, 3)
    np.testing.assert_allclose(state.tasks[1]["heads.1.weight"].numpy(), expected, rtol=1e-5)


def test_its_operations(make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    """40 images pass once through two convolutions at 8x8, and are added to the means of 3 classes of 5 values."""
    cell = make_cell("ncm")
    learned = learn(cell, start(cell), tiny_tasks[0], Training(Recipe(), epochs=7, batch_size=3))
    backbone = 2 * 8 * 8 * (3 * 6 * 9 + 6 * 5)
    assert learned.operations == 40 * backbone + 2 * 40 * 3 * 5
