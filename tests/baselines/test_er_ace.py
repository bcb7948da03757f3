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


def test_loss_with_a_head_for_each_task(
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
        own, past = network.features(torch.cat([step.images, replayed["images"]])).split(8)
        present = sorted(set(labels))
        fewer.append(len(present) < len(tiny_tasks[self.task - 1].classes))
        each = [z[present].logsumexp(0) - z[y] for z, y in zip(network.heads(own, str(self.task)), labels, strict=True)]
        for feature, label, task in zip(past, replayed["labels"].tolist(), replayed["tasks"].tolist(), strict=True):
            z = network.heads(feature[None], str(task))[0]
            each.append(z.logsumexp(0) - z[label])
        assert step.loss.item() == pytest.approx((sum(each) / 8).item(), rel=1e-12)

    monkeypatch.setattr(ERACE, "before_backward", spy)
    tiny_network.double()
    states(make_cell("er-ace"), tiny_tasks)
    assert len(fewer) == 10
    assert any(fewer), "a minibatch in which a class is missing"


def test_costs_as_much_as_experience_replay(make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    training = Training(ERACE.recipe, epochs=1, batch_size=8)
    costs = []
    for name in ("er", "er-ace"):
        cell = make_cell(name)
        found = [start(cell)]
        learned = [learn(cell, found[-1], task, training) for task in tiny_tasks[:1]]
        learned.append(learn(cell, learned[0].state, tiny_tasks[1], training))
        costs.append([(each.operations, each.state.count_bytes()) for each in learned])
    assert costs[0] == costs[1]
