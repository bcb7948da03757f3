"""The asymmetric loss where each task has its own head, and what it costs. test_scenarios.py has one head for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.er_ace import ERACE
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods.network import Network


@pytest.mark.parametrize(("passes", "size"), [("joint", None), ("joint", 5), ("separate", None), ("separate", 12)])
def test_loss_with_a_head_for_each_task(
    passes: str,
    size: int | None,
    make_cell: Callable[..., Cell],
    states: Callable[..., list[State]],
    tiny_tasks: tuple[Task, ...],
    tiny_network: Network,
    drawn: list[dict[str, Tensor]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """-z_y + log of the sum of exp(z_c), image by image, in all steps."""
    hook, fewer = ERACE.before_backward, []

    def spy(self: ERACE, step: Any, **kwargs: Any) -> None:
        hook(self, step, **kwargs)
        network, labels = step.model, step.labels.tolist()
        if self.task == 1:
            logits = network.heads(network.features(step.images), "1")
            expected = sum(z.logsumexp(0) - z[y] for z, y in zip(logits, labels, strict=True)) / len(labels)
            assert step.loss.item() == pytest.approx(expected.item(), rel=1e-12)
            return
        replayed = drawn[-1]
        if passes == "joint":
            own, past = network.features(torch.cat([step.images, replayed["images"]])).split([8, size or 8])
        else:
            own, past = network.features(step.images), network.features(replayed["images"])
        present = sorted(set(labels))
        fewer.append(len(present) < len(tiny_tasks[self.task - 1].classes))
        new = [z[present].logsumexp(0) - z[y] for z, y in zip(network.heads(own, str(self.task)), labels, strict=True)]
        old = []
        for feature, label, task in zip(past, replayed["labels"].tolist(), replayed["tasks"].tolist(), strict=True):
            z = network.heads(feature[None], str(task))[0]
            old.append(z.logsumexp(0) - z[label])
        assert len(old) == (size or 8)
        assert step.loss.item() == pytest.approx((sum(new) / 8 + sum(old) / len(old)).item(), rel=1e-12)

    monkeypatch.setattr(ERACE, "before_backward", spy)
    tiny_network.double()
    states(make_cell("er-ace", passes=passes, replay_batch=size), tiny_tasks)
    assert len(fewer) == 10
    assert any(fewer), "a minibatch in which a class is missing"


def test_costs_as_much_as_experience_replay(make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    training = Training(ERACE.recipe, epochs=1, batch_size=8)
    costs = []
    for name in ("er", "er-ace", "er-ace:passes=separate"):
        cell = make_cell(name)
        found = [start(cell)]
        learned = [learn(cell, found[-1], task, training) for task in tiny_tasks[:1]]
        learned.append(learn(cell, learned[0].state, tiny_tasks[1], training))
        costs.append([(each.operations, each.state.count_bytes()) for each in learned])
    assert costs[0] == costs[1] == costs[2]


def test_separate_passes_move_the_running_statistics_twice(
    make_cell: Callable[..., Cell],
    tiny_tasks: tuple[Task, ...],
    tiny_network: Network,
    drawn: list[dict[str, Tensor]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """First by the minibatch, then by the replay batch, as in the authors' code: .81 r + .09 a + .1 b."""
    found = []

    def mean(network: Network, images: Tensor) -> Tensor:
        first = network.backbone[0](images * network.scale + network.shift)
        return first.detach().mean((0, 2, 3))

    def before_forward(self: ERACE, step: Any, **kwargs: Any) -> None:
        found.append(step.model.backbone[1].running_mean.clone())

    def before_backward(self: ERACE, step: Any, **kwargs: Any) -> None:
        if self.task == 2:
            before, after = found[-1], step.model.backbone[1].running_mean
            own, past = mean(step.model, step.images), mean(step.model, drawn[-1]["images"])
            torch.testing.assert_close(after, 0.81 * before + 0.09 * own + 0.1 * past, rtol=1e-12, atol=0)

    monkeypatch.setattr(ERACE, "before_forward", before_forward)
    monkeypatch.setattr(ERACE, "before_backward", before_backward)
    cell = make_cell("er-ace", tiny_network.double(), passes="separate")
    state = start(cell)
    for task in tiny_tasks[:2]:
        state = learn(cell, state, task, Training(ERACE.recipe, epochs=1, batch_size=8)).state
    assert len(found) == 10
