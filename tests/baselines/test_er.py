"""Experience replay's loss against its definition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from baselines.er import ER
from benchmark.learning.learner import Cell
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods.network import Network


def test_loss_is_ce_of_the_batch_plus_ce_of_the_replay_batch_through_each_images_own_head(
    make_cell: Callable[..., Cell],
    states: Callable[..., list[State]],
    tiny_tasks: tuple[Task, ...],
    tiny_network: Network,
    drawn: list[dict[str, Tensor]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Worked image by image for the first step of the third task, when heads of 3, 2 and 4 classes exist.

    All pass through the network together, of which batch normalisation makes a difference.
    """
    hook = ER.before_backward
    seen = []

    def spy(self: ER, strategy: Any, **kwargs: Any) -> None:
        hook(self, strategy, **kwargs)
        if self.task < 3 or seen:
            return
        network, replayed = strategy.model, drawn[-1]
        own, features = network.features(torch.cat([strategy.mb_x, replayed["images"]])).split(8)
        ce_batch = cross_entropy(network.heads(own, "3"), strategy.mb_y)
        each = [
            cross_entropy(network.heads(f[None], str(int(task))), label[None].long())
            for f, label, task in zip(features, replayed["labels"], replayed["tasks"], strict=True)
        ]
        expected = ce_batch + torch.stack(each).mean()
        seen.append((strategy.loss.item(), expected.item(), set(replayed["tasks"].tolist()), len(each)))

    monkeypatch.setattr(ER, "before_backward", spy)
    tiny_network.double()
    states(make_cell("er"), tiny_tasks)
    loss, expected, tasks, count = seen[0]
    assert loss == pytest.approx(expected, rel=1e-12)
    assert tasks == {1, 2}
    assert count == 8
    assert len(drawn) == 10, "one draw a step, from the second task on"
