"""Dark experience replay against its definition: the loss, the logits it stores, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from baselines.derpp import DERpp
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods.memory import MemorySize
from methods.network import Network

CLASSES = {1: 3, 2: 2, 3: 4}


@pytest.mark.parametrize("size", [None, 20])
def test_loss_in_the_first_step_of_the_third_task(
    size: int | None,
    make_cell: Callable[..., Cell],
    states: Callable[..., list[State]],
    tiny_tasks: tuple[Task, ...],
    tiny_network: Network,
    drawn: list[dict[str, Tensor]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Worked image by image, when heads of 3, 2 and 4 classes exist; no other head's logit counts."""
    hook = DERpp.before_backward
    seen = []

    def spy(self: DERpp, strategy: Any, **kwargs: Any) -> None:
        hook(self, strategy, **kwargs)
        if self.task < 3 or seen:
            return
        network, count = strategy.model, size or 8
        halves = slice(count), slice(count, None)
        first, second = ({name: rows[half] for name, rows in drawn[-1].items()} for half in halves)
        images = torch.cat([strategy.mb_x, first["images"], second["images"]])
        own, *past = network.features(images).split([8, count, count])
        expected = cross_entropy(network.heads(own, "3"), strategy.mb_y)
        for samples, features, weight in ((first, past[0], 0.2), (second, past[1], 0.9)):
            for n, (feature, task) in enumerate(zip(features, samples["tasks"].tolist(), strict=True)):
                logits = network.heads(feature[None], str(task))[0]
                stored = samples["logits"][n, : CLASSES[task]]
                mse = sum((a - b) ** 2 for a, b in zip(logits, stored, strict=True)) / CLASSES[task]
                ce = cross_entropy(logits, samples["labels"][n].long())
                expected = expected + weight / len(features) * (mse if samples is first else ce)
        seen.append((strategy.loss.item(), expected.item(), set(first["tasks"].tolist()), first, second))

    monkeypatch.setattr(DERpp, "before_backward", spy)
    tiny_network.double()
    states(make_cell("derpp", alpha=0.2, beta=0.9, replay_batch=size), tiny_tasks)
    loss, expected, tasks, first, second = seen[0]
    assert loss == pytest.approx(expected, rel=1e-12)
    assert tasks == {1, 2}
    assert len(first["labels"]) == len(second["labels"]) == (size or 8)
    assert not torch.equal(first["images"], second["images"])


def test_stored_logits_are_those_of_the_network_at_the_end_of_the_samples_task(
    make_cell: Callable[..., Cell], states: Callable[..., list[State]], tiny_tasks: tuple[Task, ...]
) -> None:
    """In evaluation mode, for each sample whenever it is found in the memory; zeros beyond its head's classes."""
    cell = make_cell("derpp", memory=MemorySize(images=30))
    found = states(cell, tiny_tasks)
    answering = {task: network_for(cell, found[task - 1], task, CLASSES[task]) for task in CLASSES}
    for state, widest in zip(found, (3, 3, 4), strict=True):
        logits = state.memory["replay.logits"]
        assert logits.shape == (30, widest)
        assert logits.dtype == torch.float32
        expected = torch.zeros(30, widest)
        for n, task in enumerate(state.memory["replay.tasks"].tolist()):
            image = state.memory["replay.images"][n]
            expected[n, : CLASSES[task]] = answering[task](image[None]).detach()[0]
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


def test_costs_three_steps_and_a_forward_pass_over_what_enters(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    """By hand at 8x8: 64 positions x 6 x 27, whose images need no gradient; 64 x 5 x 6; heads of 5 x classes."""
    cell = make_cell("derpp", memory=MemorySize(images=30))
    state, classes = start(cell), 0
    for number, task in enumerate(tiny_tasks, 1):
        learned = learn(cell, state, task, Training(DERpp.recipe, epochs=2, batch_size=8))
        state, classes = learned.state, classes + len(task.classes)
        entered = int((state.memory["replay.tasks"] == number).sum())
        forward, step = 64 * 6 * 27 + 64 * 5 * 6, 2 * 64 * 6 * 27 + 3 * 64 * 5 * 6
        # All heads answer for each image, in one product.
        images = 1 if number == 1 else 3
        stored = entered * (forward + 5 * len(task.classes))
        assert learned.operations == 2 * (40 * 2 * images * (step + 3 * 5 * classes) + stored)


@pytest.mark.parametrize("options", [{"alpha": -1.0}, {"beta": -1.0}])
def test_bad_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        DERpp(**options)
