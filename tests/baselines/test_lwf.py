"""Learning without forgetting against its definition, head by head, and what it costs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from baselines.lwf import LwF
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods.network import Network


def test_loss_and_gradients_in_the_second_step_of_the_third_task(
    make_cell: Callable[..., Cell],
    states: Callable[..., list[State]],
    tiny_tasks: tuple[Task, ...],
    tiny_network: Network,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two old heads, of 3 and 2 classes; a step after the first, when teacher and student are not the same network."""
    strength, temperature = 0.7, 1.5
    before_training, before_forward, after_backward = LwF.before_training_exp, LwF.before_forward, LwF.after_backward
    teachers, students, seen = {}, [], []

    def keep_teacher(self: LwF, strategy: Any, **kwargs: Any) -> None:
        teachers[self.task] = copy.deepcopy(strategy.model).eval()
        before_training(self, strategy, **kwargs)

    def keep_student(self: LwF, strategy: Any, **kwargs: Any) -> None:
        if self.task == 3:
            students.append(copy.deepcopy(strategy.model))
        before_forward(self, strategy, **kwargs)

    def keep_result(self: LwF, strategy: Any, **kwargs: Any) -> None:
        if self.task == 3:
            gradients = {name: p.grad.clone() for name, p in strategy.model.named_parameters()}
            seen.append((strategy.mb_x, strategy.mb_y, strategy.loss.item(), gradients))
        after_backward(self, strategy, **kwargs)

    monkeypatch.setattr(LwF, "before_training_exp", keep_teacher)
    monkeypatch.setattr(LwF, "before_forward", keep_student)
    monkeypatch.setattr(LwF, "after_backward", keep_result)
    tiny_network.double()
    states(make_cell("lwf", strength=strength, temperature=temperature), tiny_tasks)

    teacher, student, (images, labels, loss, gradients) = teachers[3], students[1], seen[1]
    student.zero_grad()
    features = student.features(images)
    expected = cross_entropy(student.heads(features, "3"), labels)
    for key in ("1", "2"):
        for image, feature in zip(images, features, strict=True):
            old = torch.softmax(teacher.heads(teacher.features(image[None]), key)[0].detach() / temperature, 0)
            new = torch.softmax(student.heads(feature[None], key)[0] / temperature, 0)
            expected = expected - strength * (old * new.log()).sum() / len(images)
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    by_hand = {name: p.grad for name, p in student.named_parameters()}
    torch.testing.assert_close(gradients, by_hand, rtol=1e-9, atol=1e-12)
    for key in ("1", "2"):
        assert by_hand["heads.weight"][student.heads.rows[key]].abs().sum() > 0


def test_costs_a_forward_pass_more_than_sgd_whatever_the_number_of_tasks(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    """Multiplications, at 8x8: 64 positions x 6 x 27, whose images need no gradient, 64 x 5 x 6, heads of 5 x classes.

    The new head's logits are computed twice, alone and beside the old ones.
    """
    cell = make_cell("lwf")
    state, classes = start(cell), 0
    for task in tiny_tasks:
        learned = learn(cell, state, task, Training(LwF.recipe, epochs=2, batch_size=8))
        state, classes = learned.state, classes + len(task.classes)
        own = 2 * 64 * 6 * 27 + 3 * 64 * 5 * 6 + 3 * 5 * len(task.classes)
        others = 64 * 6 * 27 + 64 * 5 * 6 + (1 + 3) * 5 * classes if state.learned > 1 else 0
        assert learned.operations == 2 * 40 * 2 * (own + others)


def test_the_teacher_is_not_kept(
    make_cell: Callable[..., Cell], states: Callable[..., list[State]], tiny_tasks: tuple[Task, ...]
) -> None:
    *_, state = states(make_cell("lwf"), tiny_tasks[:2])
    assert state.memory == {}


@pytest.mark.parametrize("options", [{"strength": -1.0}, {"temperature": 0.0}])
def test_bad_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        LwF(**options)
