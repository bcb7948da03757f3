"""CLS-ER against its definition: the loss, the two means of the weights, and what answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from baselines.cls_er import CLSER
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell
from benchmark.storage.state import State, tensor_bytes
from benchmark.streams.base import Task
from methods.network import Network

CLASSES = {1: 3, 2: 2, 3: 4}

States = Callable[..., list[State]]


def test_loss_in_the_first_step_of_the_third_task(
    make_cell: Callable[..., Cell],
    states: States,
    tiny_tasks: tuple[Task, ...],
    tiny_network: Network,
    drawn: list[dict[str, Tensor]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Worked image by image, when heads of 3, 2 and 4 classes exist; no other head's logit counts."""
    hook, seen = CLSER.before_backward, []

    def spy(self: CLSER, step: Any) -> None:
        hook(self, step)
        if self.task < 3 or seen:
            return
        replayed, network = drawn[-1], step.model
        images = torch.cat([step.images, replayed["images"]])
        # The means pass the replay batch alone, and batch normalisation tells by which images it is.
        features = network.features(images)
        of_means = {name: getattr(self, name).features(replayed["images"]) for name in ("stable", "plastic")}
        entropies = [cross_entropy(network.heads(features[:8], "3"), step.labels, reduction="sum")]
        squares, chosen = [], set()
        for n, (task, label) in enumerate(zip(replayed["tasks"].tolist(), replayed["labels"].tolist(), strict=True)):
            own = network.heads(features[None, 8 + n], str(task))[0]
            entropies.append(cross_entropy(own, torch.tensor(label)))
            logits = {mean: getattr(self, mean).heads(of[None, n], str(task))[0] for mean, of in of_means.items()}
            surest = max(("plastic", "stable"), key=lambda mean: logits[mean].softmax(0)[label].item())
            chosen.add(surest)
            squares.append(sum((a - b) ** 2 for a, b in zip(own, logits[surest], strict=True)) / CLASSES[task])
        expected = sum(entropies) / 16 + 0.7 * sum(squares) / 8
        seen.append((step.loss.item(), expected.item(), chosen))

    monkeypatch.setattr(CLSER, "before_backward", spy)
    tiny_network.double()
    cell = make_cell("cls-er", strength=0.7, stable_decay=0.9, plastic_decay=0.5)
    states(cell, tiny_tasks)
    ((loss, expected, chosen),) = seen
    assert loss == pytest.approx(expected, rel=1e-9)
    assert chosen == {"stable", "plastic"}


def test_the_means_follow_the_weights_and_the_stable_one_answers(
    make_cell: Callable[..., Cell],
    states: States,
    tiny_tasks: tuple[Task, ...],
    tiny_network: Network,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With rate 1, from the weights after each step of two tasks; step n keeps min(1 - 1/(n + 1), decay) of a mean."""
    hook, weights, began = CLSER.after_update, [], []
    name = "backbone." + next(name for name, _ in tiny_network.backbone.named_parameters())

    def spy(self: CLSER, step: Any) -> None:
        weights.append(step.model.get_parameter(name).detach().clone())
        hook(self, step)

    start_hook = CLSER.before_training_exp

    def at_start(self: CLSER, step: Any) -> None:
        start_hook(self, step)
        began.append(step.model.get_parameter(name).detach().clone())

    monkeypatch.setattr(CLSER, "after_update", spy)
    monkeypatch.setattr(CLSER, "before_training_exp", at_start)
    tiny_network.double()
    cell = make_cell("cls-er", stable_rate=1, plastic_rate=1, stable_decay=0.8, plastic_decay=0.6)
    first, second = states(cell, tiny_tasks[:2])
    assert torch.equal(began[1], first.memory[f"working.{name}"]), "the second task goes on from the working model"
    assert torch.equal(second.memory[f"working.{name}"], weights[-1])
    assert int(second.memory["steps"]) == len(weights)

    expected = {}
    for decay in (0.8, 0.6):
        mean = began[0]
        for n, weight in enumerate(weights, 1):
            share = min(1 - 1 / (n + 1), decay)
            mean = share * mean + (1 - share) * weight
        expected[decay] = mean
    torch.testing.assert_close(second.shared[name], expected[0.8])
    torch.testing.assert_close(second.memory[f"plastic.{name}"], expected[0.6])
    answering = network_for(cell, second, 2, CLASSES[2])
    torch.testing.assert_close(answering.get_parameter(name), expected[0.8])
    # The heads of both tasks have means, too.
    for task in (1, 2):
        head = f"heads.{task}.weight"
        assert not torch.equal(second.tasks[task][head], second.memory[f"working.{head}"])


def test_a_mean_that_is_never_renewed_stays(
    make_cell: Callable[..., Cell], states: States, tiny_tasks: tuple[Task, ...], tiny_network: Network
) -> None:
    (state,) = states(make_cell("cls-er", stable_rate=0, plastic_rate=0), tiny_tasks[:1])
    for name, parameter in tiny_network.backbone.named_parameters():
        assert torch.equal(state.shared[f"backbone.{name}"], parameter)
        assert torch.equal(state.memory[f"plastic.backbone.{name}"], parameter)
    assert any(
        not torch.equal(state.memory[f"working.backbone.{name}"], parameter)
        for name, parameter in tiny_network.backbone.named_parameters()
    )


def test_both_other_models_are_stored(
    make_cell: Callable[..., Cell], states: States, tiny_tasks: tuple[Task, ...]
) -> None:
    (state,) = states(make_cell("cls-er"), tiny_tasks[:1])
    memory = {part: {k: v for k, v in state.memory.items() if k.startswith(part)} for part in ("working.", "plastic.")}
    # The network that answers, and its head of 3 classes in the task's file.
    whole = tensor_bytes(state.shared) + tensor_bytes(state.tasks[1])
    assert {tensor_bytes(own) for own in memory.values()} == {whole}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"strength": -1}, "strength=-1 must not be negative"),
        ({"stable_rate": 1.5}, "stable_rate=1.5 must be from 0 to 1"),
        ({"plastic_decay": -0.1}, "plastic_decay=-0.1 must be from 0 to 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        CLSER(**options)
