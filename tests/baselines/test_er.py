"""Experience replay's loss against its definition, and what it stores."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn.functional import cross_entropy

from baselines.er import ER
from baselines.reservoir import MemorySize
from benchmark.learner import Cell, learn, start
from benchmark.state import State
from benchmark.strategy import Training
from benchmark.streams.base import Task

TRAINING = Training(ER.recipe, epochs=1, batch_size=8)


def after(cell: Cell, tasks: tuple[Task, ...]) -> State:
    state = start(cell)
    for task in tasks:
        state = learn(cell, state, task, TRAINING).state
    return state


def test_loss_is_ce_of_the_batch_plus_ce_of_the_replay_batch_through_each_images_own_head(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Worked image by image for the first step of the third task, when heads of 3, 2 and 4 classes exist."""
    original, seen = ER.before_backward, []

    def spy(self: ER, strategy, **kwargs) -> None:
        drawn = []
        draw = self.reservoir.draw
        self.reservoir.draw = lambda count: drawn.append(draw(count)) or drawn[0]
        original(self, strategy, **kwargs)
        self.reservoir.draw = draw
        if self.task < 3 or seen:
            return
        network, (images, labels, tasks) = strategy.model, drawn[0]
        ce_batch = cross_entropy(network.heads(network.features(strategy.mb_x), "3"), strategy.mb_y)
        features = network.features(images)
        each = [
            cross_entropy(network.heads(f[None], str(int(task))), label[None])
            for f, label, task in zip(features, labels, tasks, strict=True)
        ]
        expected = ce_batch + torch.stack(each).mean()
        seen.append((strategy.loss.item(), expected.item(), set(tasks.tolist())))

    monkeypatch.setattr(ER, "before_backward", spy)
    after(make_cell("er"), tiny_tasks)
    (loss, expected, tasks), *_ = seen
    assert loss == pytest.approx(expected, rel=1e-5)
    assert tasks == {1, 2}


def test_replay_trains_the_heads_of_earlier_tasks(make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    one, two = (after(make_cell("er"), tiny_tasks[:n]) for n in (1, 2))
    assert not torch.equal(one.tasks[1]["heads.1.weight"], two.tasks[1]["heads.1.weight"])


def test_memory_holds_images_of_the_past_tasks(make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    state = after(make_cell("er", memory=MemorySize(images=30)), tiny_tasks)
    images, labels, tasks = (state.memory[f"replay.{part}"] for part in ("images", "labels", "tasks"))
    assert images.shape == (30, 3, 8, 8)
    assert set(tasks.tolist()) == {1, 2, 3}
    for image, label, number in zip(images, labels, tasks, strict=True):
        train = tiny_tasks[number - 1].train
        same = (train.images == image).flatten(1).all(1)
        assert train.labels[same].tolist() == [label]


def test_per_task_batch_norm_is_refused() -> None:
    with pytest.raises(ValueError, match="bn=shared or bn=frozen"):
        ER(bn="per-task")


def test_frozen_batch_norm_does_not_move(make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    state = after(make_cell("er", bn="frozen"), tiny_tasks[:2])
    assert not [name for name in state.shared if name.startswith(("backbone.1.", "backbone.4."))]
