"""Joint training: a batch's loss, where it starts, what it keeps and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from baselines.joint import Joint
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods.network import Network

TRAINING = Training(Joint.recipe, epochs=1, batch_size=8)


def test_loss_of_a_batch_of_mixed_tasks(
    make_cell: Callable[..., Cell],
    states: Callable[..., list[State]],
    tiny_tasks: tuple[Task, ...],
    tiny_network: Network,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Worked image by image: the loop's labels do not matter, only where the image comes from."""
    hook, seen = Joint.before_backward, []

    def spy(self: Joint, strategy: Any, **kwargs: Any) -> None:
        hook(self, strategy, **kwargs)
        network, features = strategy.model, strategy.model.features(strategy.mb_x)
        each, tasks = [], set()
        for image, feature in zip(strategy.mb_x, features, strict=True):
            for number, task in enumerate(tiny_tasks, 1):
                same = (task.train.images == image).flatten(1).all(1)
                if same.any():
                    tasks.add(number)
                    each.append(cross_entropy(network.heads(feature[None], str(number)), task.train.labels[same]))
        assert len(each) == len(strategy.mb_x)
        expected = torch.stack(each).mean()
        parameters = list(network.parameters())
        gradients, by_hand = (
            torch.autograd.grad(loss, parameters, retain_graph=True) for loss in (strategy.loss, expected)
        )
        torch.testing.assert_close(gradients, by_hand, rtol=1e-9, atol=1e-12)
        assert strategy.loss.item() == pytest.approx(expected.item(), rel=1e-12)
        seen.append(tasks)

    monkeypatch.setattr(Joint, "before_backward", spy)
    tiny_network.double()
    states(make_cell("joint"), tiny_tasks)
    assert len(seen) == 5 + 10 + 15, "an epoch goes over all images so far"
    assert seen[:5] == [{1}] * 5
    assert {1, 2} in seen[5:15]
    assert {1, 2, 3} in seen[15:]


def test_starts_over(
    make_cell: Callable[..., Cell], states: Callable[..., list[State]], tiny_tasks: tuple[Task, ...]
) -> None:
    """Only the images of earlier tasks matter, not what was learned from them."""
    cell = make_cell("joint")
    *_, two = states(cell, tiny_tasks[:2])
    scrambled = replace(
        two,
        shared={name: torch.randn_like(tensor) for name, tensor in two.shared.items()},
        tasks={n: {name: torch.randn_like(t) for name, t in own.items()} for n, own in two.tasks.items()},
    )
    a, b = (learn(cell, state, tiny_tasks[2], TRAINING).state for state in (two, scrambled))
    assert all(torch.equal(a.shared[name], b.shared[name]) for name in a.shared)
    for task in (1, 2, 3):
        assert all(torch.equal(a.tasks[task][name], b.tasks[task][name]) for name in a.tasks[task])


def test_keeps_all_images(
    make_cell: Callable[..., Cell], states: Callable[..., list[State]], tiny_tasks: tuple[Task, ...]
) -> None:
    for count, state in enumerate(states(make_cell("joint"), tiny_tasks), 1):
        trains = [task.train for task in tiny_tasks[:count]]
        assert torch.equal(state.memory["replay.images"], torch.cat([train.images for train in trains]))
        assert torch.equal(state.memory["replay.labels"].long(), torch.cat([train.labels for train in trains]))
        assert torch.equal(state.memory["replay.tasks"].long(), torch.arange(1, count + 1).repeat_interleave(40))
        assert state.count_bytes()["replay"] == state.count_bytes()["memory"] == count * 40 * (3 * 8 * 8 + 4)


def test_costs_as_much_as_there_are_images(make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    """By hand at 8x8: 64 positions x 6 x 27, whose images need no gradient; 64 x 5 x 6; heads of 5 x classes."""
    cell = make_cell("joint")
    state, classes = start(cell), 0
    for number, task in enumerate(tiny_tasks, 1):
        learned = learn(cell, state, task, TRAINING)
        state, classes = learned.state, classes + len(task.classes)
        assert learned.operations == 2 * number * 40 * (2 * 64 * 6 * 27 + 3 * 64 * 5 * 6 + 3 * 5 * classes)
