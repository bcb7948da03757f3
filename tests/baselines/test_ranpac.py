"""Random projections and ridge regression, against normal equations and least squares in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from baselines.ranpac import RanPAC, best_ridge
from benchmark.learning.answering import Answering
from benchmark.learning.learner import Cell, frozen_bytes, learn, start
from benchmark.learning.seeds import derive
from benchmark.learning.training import Training
from benchmark.streams.base import Task
from methods.recipe import Recipe

Array = np.ndarray[Any, Any]


def ridge(rows: Array, targets: Array, strength: float) -> Array:
    """Least squares with the rows sqrt(strength) I below, whose targets are 0: without normal equations."""
    columns = rows.shape[1]
    below = np.concatenate([rows, np.sqrt(strength) * np.eye(columns)])
    wanted = np.concatenate([targets, np.zeros((columns, targets.shape[1]))])
    return np.linalg.lstsq(below, wanted, rcond=None)[0]


def chosen(rows: Array, targets: Array) -> float:
    """The power of ten with the least mean squared error on the last fifth."""
    count = int(0.8 * len(rows))
    strengths = [10.0**power for power in range(-8, 9)]
    errors = [
        ((rows[count:] @ ridge(rows[:count], targets[:count], strength) - targets[count:]) ** 2).mean()
        for strength in strengths
    ]
    return strengths[int(np.argmin(errors))]


@pytest.mark.parametrize(("images", "columns"), [(40, 10), (40, 31), (40, 32), (40, 90), (4, 3), (2, 5)])
@pytest.mark.parametrize("noise", [0.01, 1.0, 30.0])
def test_the_choice_of_lambda(images: int, columns: int, noise: float) -> None:
    """With fewer images than columns, with more, and at the border between them."""
    random = np.random.default_rng(images + columns)
    rows = np.maximum(random.normal(0, 3, (images, columns)), 0)
    targets = rows @ random.normal(0, 1, (columns, 3)) + noise * random.normal(0, 1, (images, 3))
    assert float(best_ridge(torch.from_numpy(rows), torch.from_numpy(targets))) == chosen(rows, targets)


@pytest.mark.parametrize("scenario", ["task", "class", "domain"])
@pytest.mark.parametrize("width", [8, 60])
def test_it_answers_as_the_paper_says(scenario: str, width: int, learn_frozen: Callable[..., Any]) -> None:
    """All heads change with G and lambda: each task answers with what is known after the last one."""
    cell, tasks, states = learn_frozen(f"ranpac:width={width}", scenario)
    pristine = cell.pristine.eval()
    torch.manual_seed(derive(0, "adapt"))
    projection = torch.randn(5, width).double().numpy()

    def projected(images: torch.Tensor) -> Array:
        with torch.no_grad():
            return np.maximum(pristine.features(images).numpy() @ projection, 0)

    firsts = np.cumsum([0, 3, 2]) if scenario == "task" else [0, 0, 0]
    rows = [projected(task.train.images) for task in tasks]
    labels = [task.train.labels.numpy() + first for task, first in zip(tasks, firsts, strict=True)]
    targets = [np.eye(max(map(max, labels)) + 1)[own] for own in labels]
    order = torch.randperm(40, generator=torch.Generator().manual_seed(derive(0, 3, "method"))).numpy()
    strength = chosen(rows[-1][order], targets[-1][order])
    everything = np.concatenate(rows)
    strength = max(strength, np.finfo(np.float64).eps * np.square(everything).sum())
    gram = everything.T @ everything + strength * np.eye(width)
    weights = np.linalg.solve(gram, everything.T @ np.concatenate(targets))
    for number, (task, first) in enumerate(zip(tasks, firsts, strict=True), 1):
        network = Answering(cell).network(states[-1], number, len(task.classes))
        with torch.no_grad():
            logits = network(task.test.images).numpy()
        own = weights[:, first : first + logits.shape[1]]
        np.testing.assert_allclose(logits, projected(task.test.images) @ own, rtol=1e-6, atol=1e-7)


def test_what_it_keeps(learn_frozen: Callable[..., Any]) -> None:
    """G and Q; the projection is not stored, but counts as frozen."""
    cell, _, states = learn_frozen("ranpac:width=7", "class")
    for state, classes in zip(states, (3, 5, 9), strict=True):
        assert {name: list(tensor.shape) for name, tensor in state.memory.items()} == {
            "gram": [7, 7],
            "products": [7, classes],
        }
        assert list(state.shared) == ["heads.shared.weight", "heads.shared.bias"]
        assert list(state.shared["heads.shared.weight"].shape) == [classes, 7]
    bare, _, _ = learn_frozen("ncm", "class")
    assert frozen_bytes(cell) - frozen_bytes(bare) == 8 * 5 * 7


def test_in_single_precision_a_small_lambda_is_no_danger(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 images cannot determine 200 weights: G, rounded to single precision, has negative eigenvalues."""
    monkeypatch.setattr("baselines.ranpac.best_ridge", lambda rows, targets: rows.new_tensor(1e-8))
    cell = make_cell("ranpac:width=200")
    state = start(cell)
    for task in tiny_tasks:
        state = learn(cell, state, task, Training(Recipe(), 1, 8)).state
    assert torch.linalg.eigvalsh(state.memory["gram"].double())[0] < 0
    assert all(tensor.isfinite().all() for own in state.tasks.values() for tensor in own.values())
    network = Answering(cell).network(state, 3, 4)
    right = network(tiny_tasks[2].train.images).argmax(1) == tiny_tasks[2].train.labels
    assert right.double().mean() > 0.8


def test_another_seed_is_another_projection(make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    cells = [make_cell("ranpac:width=6", seed=seed) for seed in (0, 0, 1)]
    grams = [learn(c, start(c), tiny_tasks[0], Training(Recipe(), 1, 8)).state.memory["gram"] for c in cells]
    assert torch.equal(grams[0], grams[1])
    assert not torch.allclose(grams[0], grams[2], rtol=0.1)


@pytest.mark.parametrize("width", [9, 50])
def test_its_operations(width: int, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    """40 images of 3 classes; lambda is chosen by 17 regressions of 32 of them, the smaller of two systems each."""
    cell = make_cell(f"ranpac:width={width}")
    learned = learn(cell, start(cell), tiny_tasks[0], Training(Recipe(), epochs=7, batch_size=3))
    images = 40 * (2 * 8 * 8 * (3 * 6 * 9 + 6 * 5) + 2 * 5 * width)
    sums = 2 * 40 * width * width + 2 * 40 * width * 3
    if width < 32:
        system, size = 2 * 32 * width * width + 2 * 32 * width * 3, width
    else:
        system, size = 2 * 32 * 32 * width + 2 * 8 * 32 * width, 32
    each = size**3 // 3 + 2 * size**2 * 3 + 2 * 8 * size * 3
    head = width**3 // 3 + 2 * width**2 * 3
    assert learned.operations == images + sums + system + 17 * each + head


def test_a_width_of_nothing() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        RanPAC(0)
