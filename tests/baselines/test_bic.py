"""Bias correction: what is held out, the pair of least loss, and where it is put. Its loss is in test_scenarios.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from baselines.bic import BiC, best_correction, held_out
from benchmark.checks.tiny import three_tasks
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.strategy import Strategy
from benchmark.learning.training import Training
from benchmark.storage.state import State
from methods import MemorySize
from methods.network import Network

TASKS = three_tasks("class")
NEW = {1: range(3), 2: range(3, 5), 3: range(5, 9)}


def loss_of(pair: np.ndarray, logits: np.ndarray, labels: np.ndarray, new: range) -> float:
    """The mean of log sum exp(z) - z_y, and 0.0005 ((alpha - 1)^2 + beta^2)."""
    z = logits.copy()
    z[:, new.start : new.stop] = pair[0] * z[:, new.start : new.stop] + pair[1]
    terms = np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), labels]
    return float(terms.mean() + 0.0005 * ((pair[0] - 1) ** 2 + pair[1] ** 2))


@pytest.mark.parametrize("seed", range(4))
def test_the_pair_of_least_loss(seed: int) -> None:
    """Against SciPy's simplex search, for new classes whose logits are too large, and where all answers are right."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(40) % 5
    logits = torch.randn(40, 5, generator=random, dtype=torch.float64) + 2.0 * torch.eye(5)[labels]
    logits[:, 3:] = 1.5 * logits[:, 3:] + 1
    if seed == 3:
        logits = 20.0 * torch.eye(5, dtype=torch.float64)[labels]
    found = best_correction(logits, labels, range(3, 5)).numpy()
    search = minimize(
        loss_of,
        [1.0, 0.0],
        (logits.numpy(), labels.numpy(), range(3, 5)),
        method="Nelder-Mead",
        options={"xatol": 1e-8, "fatol": 1e-14, "maxiter": 5000},
    )
    np.testing.assert_allclose(found, search.x, atol=1e-4)
    if seed < 3:
        assert found[1] < 0


def test_equally_many_of_each_class_are_held_out_at_random() -> None:
    labels = torch.tensor([0] * 5 + [1] * 3 + [2])
    seen = set()
    for seed in range(50):
        rows = held_out(labels, 2, torch.Generator().manual_seed(seed)).tolist()
        assert rows == sorted(set(rows))
        assert labels[rows].bincount().tolist() == [2, 2, 1]
        seen |= set(rows)
    assert seen == set(range(9))


@pytest.fixture
def spied(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """What happens in the test: minibatches, held-out images, heads at a task's begin and end, and teachers."""
    seen: dict[str, list[Any]] = {name: [] for name in ("batches", "held", "begins", "ends", "teachers")}
    step, before, after = Strategy._step, BiC.before_training_exp, BiC.after_training_exp

    def head(step: Any) -> tuple[Tensor, ...]:
        return tuple(tensor.detach().clone() for tensor in step.model.heads.take("shared").values())

    def note(self: Strategy) -> None:
        step(self)
        seen["batches"].append((self.bench.method.task, self.mb_x, self.mb_y))

    def begin(self: BiC, step: Any) -> None:
        before(self, step)
        seen["begins"].append(head(step))
        if self.task > 1:
            seen["held"].append(self.held)
            seen["teachers"].append(tuple(t.detach().clone() for t in self.teacher.heads.take("shared").values()))

    def end(self: BiC, step: Any) -> None:
        seen["ends"].append(head(step))
        after(self, step)

    monkeypatch.setattr(Strategy, "_step", note)
    monkeypatch.setattr(BiC, "before_training_exp", begin)
    monkeypatch.setattr(BiC, "after_training_exp", end)
    return seen


def learn_all(network: Network, memory: int) -> list[State]:
    cell = Cell(
        network.double(),
        lambda: BiC(memory=MemorySize(images=memory)),
        4,
        0,
        torch.device("cpu"),
        scenario="class",
        widths=(3, 2, 4),
    )
    found = [start(cell)]
    for task in TASKS:
        found.append(learn(cell, found[-1], task, Training(BiC.recipe, epochs=1, batch_size=8)).state)
    return found[1:]


def same(images: Tensor, others: Tensor) -> bool:
    """Whether an image is among others."""
    rows = {row.numpy().tobytes() for row in others}
    return any(row.numpy().tobytes() in rows for row in images)


def test_held_out_images_are_stored_or_new_and_never_trained(
    tiny_network: Network, spied: dict[str, list[Any]]
) -> None:
    """60 images of 3, 5 classes are 20 (there are 14, 13 and 13) and 12 each: one of each class is held out."""
    states = learn_all(tiny_network, 60)
    for task, held in zip((2, 3), spied["held"], strict=True):
        trained = [(images, labels) for number, images, labels in spied["batches"] if number == task]
        images, labels = (torch.cat(parts) for parts in zip(*trained, strict=True))
        assert not same(held.images, images)
        assert held.labels.bincount().tolist() == [1] * NEW[task].stop
        stored = states[task - 2].memory
        assert len(labels) + len(held.labels) == 40 + len(stored["replay.labels"])
        for image, label in zip(held.images, held.labels, strict=True):
            train = TASKS[task - 1].train
            pools = ((train.images, train.labels), (stored["replay.images"], stored["replay.labels"]))
            found = [own[(pool == image).flatten(1).all(1)].tolist() for pool, own in pools]
            assert [int(label)] in found


def test_a_class_of_a_single_exemplar_trains_with_it(tiny_network: Network, spied: dict[str, list[Any]]) -> None:
    learn_all(tiny_network, 5)
    labels = torch.cat([labels for number, _, labels in spied["batches"] if number == 3])
    assert set(labels.tolist()) == set(range(9))
    assert len(labels) == 40 + 5


def test_the_correction_is_in_the_head_that_answers_and_teaches_and_not_in_the_one_that_learns(
    tiny_network: Network, spied: dict[str, list[Any]]
) -> None:
    states = learn_all(tiny_network, 30)
    assert "correction" not in states[0].memory
    for task in (2, 3):
        state, (weight, bias), new = states[task - 1], spied["ends"][task - 1], NEW[task]
        alpha, beta = state.memory["correction"].tolist()
        assert (alpha, beta) != (1, 0)
        expected = (weight.clone(), bias.clone())
        expected[0][new.start :] *= alpha
        expected[1][new.start :] = alpha * bias[new.start :] + beta
        head = tuple(state.shared[f"heads.shared.{name}"] for name in ("weight", "bias"))
        torch.testing.assert_close(head, expected)
    # The third task begins with the head that the second task trained; its teacher is the corrected one.
    for name, begun, trained, taught in zip(
        ("weight", "bias"), spied["begins"][2], spied["ends"][1], spied["teachers"][1], strict=True
    ):
        torch.testing.assert_close(begun[:5], trained, rtol=1e-10, atol=1e-12)
        assert torch.equal(taught[:5], states[1].shared[f"heads.shared.{name}"])
    assert states[2].count_bytes()["memory"] - states[2].count_bytes()["replay"] == 2 * 8


def test_the_pair_is_that_of_the_held_out_images(tiny_network: Network, spied: dict[str, list[Any]]) -> None:
    states = learn_all(tiny_network, 30)
    network = tiny_network.eval()
    for task, held in zip((2, 3), spied["held"], strict=True):
        network.place({key: value for key, value in states[task - 1].shared.items() if key.startswith("backbone")})
        weight, bias = spied["ends"][task - 1]
        with torch.no_grad():
            logits = network.features(held.images) @ weight.T + bias
        expected = best_correction(logits, held.labels, NEW[task])
        torch.testing.assert_close(states[task - 1].memory["correction"], expected, rtol=1e-6, atol=1e-8)
