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
from methods.configured import configure
from methods.errors import UserError
from methods.network import Network


@pytest.mark.parametrize(
    ("options", "together", "size"),
    [
        ({}, True, 8),
        ({"replay_batch": 20}, True, 20),
        ({"loss": "sum"}, False, 8),
        ({"loss": "sum", "replay_batch": 3}, False, 3),
    ],
    ids=str,
)
def test_loss_over_the_batch_and_the_replay_batch_through_each_images_own_head(
    options: dict[str, Any],
    together: bool,
    size: int,
    make_cell: Callable[..., Cell],
    states: Callable[..., list[State]],
    tiny_tasks: tuple[Task, ...],
    tiny_network: Network,
    drawn: list[dict[str, Tensor]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Worked image by image for the first step of the third task, when heads of 3, 2 and 4 classes exist.

    One mean over the images of both batches, or the sum of a mean over each. All pass through the network together,
    of which batch normalisation makes a difference.
    """
    hook = ER.before_backward
    seen = []

    def spy(self: ER, strategy: Any, **kwargs: Any) -> None:
        hook(self, strategy, **kwargs)
        if self.task < 3 or seen:
            return
        network, replayed = strategy.model, drawn[-1]
        own, features = network.features(torch.cat([strategy.mb_x, replayed["images"]])).split([8, size])
        new = cross_entropy(network.heads(own, "3"), strategy.mb_y, reduction="none")
        each = [
            cross_entropy(network.heads(f[None], str(int(task))), label[None].long())
            for f, label, task in zip(features, replayed["labels"], replayed["tasks"], strict=True)
        ]
        old = torch.stack(each)
        expected = torch.cat([new, old]).mean() if together else new.mean() + old.mean()
        seen.append((strategy.loss.item(), expected.item(), set(replayed["tasks"].tolist()), len(each)))

    monkeypatch.setattr(ER, "before_backward", spy)
    tiny_network.double()
    states(make_cell("er", **options), tiny_tasks)
    loss, expected, tasks, count = seen[0]
    assert loss == pytest.approx(expected, rel=1e-12)
    assert tasks == {1, 2}
    assert count == size
    assert len(drawn) == 10, "one draw a step, from the second task on"


def test_an_empty_replay_batch_is_refused() -> None:
    with pytest.raises(UserError, match=r"'er:replay_batch=0': replay_batch=0 must be at least 1"):
        configure("er:replay_batch=0")
