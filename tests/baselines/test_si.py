"""Synaptic intelligence against its formula, worked out step by step with plain autograd."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from baselines.si import SI
from benchmark.learning.learner import Cell, learn
from benchmark.learning.training import Training
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods.network import Network
from methods.recipe import Recipe

P = 3 * 6 * 9 + 12 + 6 * 5 + 10
STRENGTH, DAMPING = 1.0, 1e-3
# A rate and a limit at which penalty, momentum and clipping all matter.
LR, MOMENTUM, CLIP = 2.0, 0.9, 0.3
RECIPE = Recipe(lr=LR, momentum=MOMENTUM, clip=CLIP, schedule="constant")


def flat(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def train_by_hand(
    network: Network, batches: list[tuple[Tensor, Tensor]], importance: Tensor, anchor: Tensor, limit: float
) -> tuple[list[Tensor], Tensor, list[float]]:
    """SGD on CE + c Omega (theta - theta*)^2, both gradients by autograd.

    Returns:
        theta after each step, omega, and the norm of each step's whole gradient.
    """
    shared = list(network.backbone.parameters())
    trained = [*shared, network.heads.weight, network.heads.bias]
    velocity = [torch.zeros_like(p) for p in trained]
    thetas, omega, norms = [], torch.zeros_like(anchor), []
    for images, labels in batches:
        network.zero_grad()
        cross_entropy(network(images), labels).backward()
        g = flat(p.grad for p in shared)
        theta = torch.cat([p.flatten() for p in shared])
        (STRENGTH * (importance * (theta - anchor) ** 2).sum()).backward()
        if limit:
            for p in trained:
                p.grad.clamp_(-limit, limit)
        norms.append(flat(p.grad for p in trained).norm().item())
        before = flat(shared)
        for p, v in zip(trained, velocity, strict=True):
            v.mul_(MOMENTUM).add_(p.grad * min(1.0, CLIP / (norms[-1] + 1e-6)))
            p.data -= LR * v
        thetas.append(flat(shared))
        omega += -g * (thetas[-1] - before)
    return thetas, omega, norms


@pytest.mark.parametrize(("relu", "limit"), [("increment", 0.0), ("sum", 0.0), ("none", 0.0), ("none", 0.02)])
def test_two_tasks_by_hand(
    relu: str,
    limit: float,
    make_cell: Callable[..., Cell],
    states: Callable[..., list[State]],
    tiny_tasks: tuple[Task, ...],
    tiny_network: Network,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starts: dict[int, Network] = {}
    batches: dict[int, list[tuple[Tensor, Tensor]]] = {1: [], 2: []}
    thetas: dict[int, list[Tensor]] = {1: [], 2: []}

    def before_forward(self: SI, strategy: Any, **kwargs: Any) -> None:
        starts.setdefault(self.task, copy.deepcopy(strategy.model))
        batches[self.task].append((strategy.mb_x, strategy.mb_y))

    def after_training_iteration(self: SI, strategy: Any, **kwargs: Any) -> None:
        thetas[self.task].append(flat(strategy.model.backbone.parameters()))

    monkeypatch.setattr(SI, "before_forward", before_forward)
    monkeypatch.setattr(SI, "after_training_iteration", after_training_iteration)
    tiny_network.double()
    cell = make_cell("si", strength=STRENGTH, damping=DAMPING, relu=relu, limit=limit)
    one, two = states(cell, tiny_tasks[:2], Training(RECIPE, epochs=4, batch_size=8))

    start = flat(tiny_network.backbone.parameters())
    if limit:
        unlimited, *_ = train_by_hand(copy.deepcopy(starts[1]), batches[1], torch.zeros(P), start, 0.0)
        assert (unlimited[-1] - thetas[1][-1]).abs().max() > 1e-3, "the limit mattered"
    found, omega, norms = train_by_hand(starts[1], batches[1], torch.zeros(P), start, limit)
    torch.testing.assert_close(thetas[1], found, rtol=1e-9, atol=1e-12)
    increment = omega / ((found[-1] - start) ** 2 + DAMPING)
    assert limit or 0 < (increment > 0).sum() < P, "some steps went against the gradient"
    importance = increment if relu == "none" else torch.relu(increment)
    assert limit or min(norms) < CLIP < max(norms)
    torch.testing.assert_close(one.memory, {"importance": importance, "anchor": found[-1]}, rtol=1e-7, atol=1e-12)

    anchor = found[-1]
    found, omega, _ = train_by_hand(starts[2], batches[2], importance, anchor, limit)
    # Cutting a number off at the limit enlarges differences of rounding, at this rate.
    loosely = {"rtol": 1e-4, "atol": 1e-6} if limit else {"rtol": 1e-7, "atol": 1e-10}
    torch.testing.assert_close(thetas[2], found, **loosely)
    increment = omega / ((found[-1] - anchor) ** 2 + DAMPING)
    sums = {"increment": importance + increment.relu(), "sum": (importance + increment).relu()}
    assert limit or not torch.equal(sums["increment"], sums["sum"])
    importance = sums.get(relu, importance + increment)
    loosely = {"rtol": 1e-3, "atol": 1e-6} if limit else {"rtol": 1e-6, "atol": 1e-10}
    torch.testing.assert_close(two.memory, {"importance": importance, "anchor": found[-1]}, **loosely)
    free, _, _ = train_by_hand(starts[2], batches[2], torch.zeros(P), anchor, limit)
    assert (found[-1] - free[-1]).abs().max() > 1e-3, "the penalty mattered"


def test_without_strength_it_is_sgd(
    make_cell: Callable[..., Cell], states: Callable[..., list[State]], tiny_tasks: tuple[Task, ...]
) -> None:
    """Bit for bit."""
    *_, si = states(make_cell("si", strength=0.0), tiny_tasks)
    *_, sgd = states(make_cell("sgd"), tiny_tasks)
    assert si.tasks.keys() == sgd.tasks.keys() == {1, 2, 3}
    for a, b in [(si.shared, sgd.shared), *((si.tasks[task], sgd.tasks[task]) for task in si.tasks)]:
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a)


def test_keeps_two_values_per_shared_parameter_whatever_the_number_of_tasks(
    make_cell: Callable[..., Cell], states: Callable[..., list[State]], tiny_tasks: tuple[Task, ...]
) -> None:
    found = states(make_cell("si"), tiny_tasks)
    assert [state.count_bytes()["memory"] for state in found] == [4 * 2 * P] * 3
    found = states(make_cell("si", bn="per-task"), tiny_tasks[:2])
    assert [state.count_bytes()["memory"] for state in found] == [4 * 2 * (P - 22)] * 2


def test_holds_what_mattered(
    make_cell: Callable[..., Cell], states: Callable[..., list[State]], tiny_tasks: tuple[Task, ...]
) -> None:
    """With a strong penalty the important parameters move less than without one."""
    training = Training(Recipe(lr=0.03), epochs=1, batch_size=8)
    one, *_ = states(make_cell("si"), tiny_tasks[:1], training)
    moved = []
    for strength in (0.0, 10.0):
        cell = make_cell("si", strength=strength)
        two = learn(cell, one, tiny_tasks[1], training).state
        moved.append((one.memory["importance"] * (two.memory["anchor"] - one.memory["anchor"]).square()).sum())
    assert moved[1] < 0.5 * moved[0]


@pytest.mark.parametrize("options", [{"strength": -1.0}, {"damping": 0.0}, {"limit": -1.0}])
def test_bad_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        SI(**options)
