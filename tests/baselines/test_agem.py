"""A-GEM's gradient against its definition, by plain autograd in double precision."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from baselines.agem import AGEM
from benchmark.learning.learner import Cell
from benchmark.learning.training import Training
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods.network import Network
from methods.recipe import Recipe


def flat(gradients: list[Tensor]) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in gradients])


@pytest.mark.parametrize("size", [None, 20])
def test_gradients_of_every_step(
    size: int | None,
    make_cell: Callable[..., Cell],
    states: Callable[..., list[State]],
    tiny_tasks: tuple[Task, ...],
    tiny_network: Network,
    drawn: list[dict[str, Tensor]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Projected where the loss on the replay batch would rise, else left bit for bit."""
    hook = AGEM.after_backward
    violating: list[bool] = []

    def spy(self: AGEM, strategy: Any, **kwargs: Any) -> None:
        trained = list(strategy.model.parameters())
        network = copy.deepcopy(strategy.model)
        network.zero_grad()
        g = flat([p.grad for p in trained])
        hook(self, strategy, **kwargs)
        after = flat([p.grad for p in trained])
        if self.task == 1:
            assert torch.equal(after, g)
            assert not drawn
            return
        (samples,) = drawn
        drawn.clear()
        assert len(samples["labels"]) == (size or len(strategy.mb_y))
        features = network.features(samples["images"])
        each = [
            cross_entropy(network.heads(f[None], str(int(task))), label[None].long())
            for f, label, task in zip(features, samples["labels"], samples["tasks"], strict=True)
        ]
        torch.stack(each).mean().backward()
        g_ref = flat([p.grad for p in network.parameters()])
        violating.append(bool(g @ g_ref < 0))
        if violating[-1]:
            expected = g - (g @ g_ref) / (g_ref @ g_ref) * g_ref
            torch.testing.assert_close(after, expected, rtol=1e-9, atol=1e-12)
            assert abs(after @ g_ref) < 1e-12
        else:
            assert torch.equal(after, g)

    monkeypatch.setattr(AGEM, "after_backward", spy)
    tiny_network.double()
    states(make_cell("agem", replay_batch=size), tiny_tasks, Training(Recipe(lr=0.1), epochs=3, batch_size=8))
    assert len(violating) == 2 * 3 * 5
    assert 5 < sum(violating) < 25


def test_a_reference_of_zeros_changes_nothing(
    make_cell: Callable[..., Cell],
    states: Callable[..., list[State]],
    tiny_tasks: tuple[Task, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replay_loss = AGEM.replay_loss
    monkeypatch.setattr(AGEM, "replay_loss", lambda self, strategy: 0 * replay_loss(self, strategy))
    # Frozen batch normalisation: replay batches would move its statistics.
    *_, agem = states(make_cell("agem", bn="frozen"), tiny_tasks[:2])
    *_, sgd = states(make_cell("sgd", bn="frozen"), tiny_tasks[:2])
    assert all(torch.equal(agem.shared[name], sgd.shared[name]) for name in sgd.shared)
