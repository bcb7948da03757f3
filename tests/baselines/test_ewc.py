"""EWC and online EWC against their formulas, worked out from what each task leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from baselines.ewc import EWC
from baselines.online_ewc import OnlineEWC
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from benchmark.streams.base import Task
from methods import Method, methods
from methods.network import Network

P = 3 * 6 * 9 + 12 + 6 * 5 + 10


def double(seed: int, size: int = P) -> Tensor:
    return torch.rand(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class FakeStrategy(SimpleNamespace):
    """As much of a strategy as the penalty needs: a loss, and two parameters that make up theta."""

    def __init__(self, theta: Tensor):
        parts = theta[:100].reshape(10, 10).clone(), theta[100:].clone()
        self.parameters = {f"p{i}": nn.Parameter(part) for i, part in enumerate(parts)}
        super().__init__(loss=torch.zeros(1, dtype=torch.float64), device=torch.device("cpu"))

    def shared_parameters(self) -> dict[str, nn.Parameter]:
        return self.parameters


def penalty_and_gradient(method: Method, theta: Tensor) -> tuple[Tensor, Tensor]:
    """What the hooks add to a loss of 0, and to a gradient that is 2 everywhere but None for the last parameter."""
    strategy = FakeStrategy(theta)
    first, last = strategy.parameters.values()
    method.before_training_exp(strategy)
    method.before_backward(strategy)
    assert not strategy.loss.requires_grad, "the gradient is added after the backward pass, and must not come twice"
    first.grad = torch.full_like(first, 2.0)
    method.after_backward(strategy)
    return strategy.loss, torch.cat([(first.grad - 2).flatten(), last.grad])


@pytest.mark.parametrize("storage", ["per-task", "summed"])
def test_ewc_penalty_over_three_tasks(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """lambda/2 * sum_t F_t (theta - theta_t)^2, summed one task after another."""
    fishers, anchors = [double(t) for t in (1, 2, 3)], [double(t) for t in (4, 5, 6)]
    fishers[0][:20] = fishers[1][:20] = 0.0  # parameters that did not matter
    method = EWC(strength=7.0, storage=storage)
    method.kept = {}
    for number, (fisher, anchor) in enumerate(zip(fishers, anchors, strict=True), 1):
        method.task = number
        method.before_training_exp(FakeStrategy(anchor))
        monkeypatch.setattr(method, "estimate_fisher", lambda strategy, f=fisher: f.clone())
        method.after_training_exp(FakeStrategy(anchor))
    theta = double(9)
    value, gradient = penalty_and_gradient(method, theta)
    expected = 3.5 * sum((f * (theta - a) ** 2).sum() for f, a in zip(fishers, anchors, strict=True))
    torch.testing.assert_close(value.sum(), expected, rtol=1e-12, atol=0)
    expected_gradient = 7.0 * sum(f * (theta - a) for f, a in zip(fishers, anchors, strict=True))
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-10, atol=1e-12)
    assert sum(tensor.numel() for tensor in method.kept.values()) == (6 * P if storage == "per-task" else 2 * P + 1)


def test_online_ewc_penalty_over_three_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """F~_3 = F_3 + gamma F_2 + gamma^2 F_1; the penalty is lambda/2 * gamma * F~_3 (theta - theta_3)^2."""
    fishers, anchors = [double(t) for t in (1, 2, 3)], [double(t) for t in (4, 5, 6)]
    method = OnlineEWC(strength=7.0, decay=0.8)
    method.kept = {}
    for fisher, anchor in zip(fishers, anchors, strict=True):
        monkeypatch.setattr(method, "estimate_fisher", lambda strategy, f=fisher: f.clone())
        method.after_training_exp(FakeStrategy(anchor))
    theta = double(9)
    value, gradient = penalty_and_gradient(method, theta)
    running = fishers[2] + 0.8 * fishers[1] + 0.64 * fishers[0]
    torch.testing.assert_close(value.sum(), 3.5 * 0.8 * (running * (theta - anchors[2]) ** 2).sum())
    torch.testing.assert_close(gradient, 7.0 * 0.8 * running * (theta - anchors[2]), rtol=1e-10, atol=1e-12)
    assert sum(tensor.numel() for tensor in method.kept.values()) == 2 * P


@pytest.mark.parametrize("method", ["ewc", "online-ewc"])
def test_penalty_is_above_zero_from_the_second_task_on(
    method: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = methods.get(method)
    original, added = cls.before_backward, {1: [], 2: [], 3: []}

    def spy(self: Method, strategy: SimpleNamespace, **kwargs: object) -> None:
        before = strategy.loss.item()
        original(self, strategy, **kwargs)
        added[self.task].append(strategy.loss.item() - before)

    monkeypatch.setattr(cls, "before_backward", spy)
    cell = make_cell(method, strength=1000.0)
    state = start(cell)
    for task in tiny_tasks:
        state = learn(cell, state, task, Training(cls.recipe, epochs=2, batch_size=8)).state
    assert set(added[1]) == {0.0}
    assert added[2][0] == pytest.approx(0, abs=1e-4), "theta is still where task 1 left it"
    assert min(added[2][2:]) > 0
    assert min(added[3][1:]) > 0


@pytest.mark.parametrize("method", ["ewc", "online-ewc"])
def test_a_huge_strength_keeps_what_mattered(
    method: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    """With a strong penalty the parameters with the largest Fisher information move less than without one."""

    def moved(strength: float) -> float:
        cell = make_cell(method, strength=strength)
        training = Training(methods.get(method).recipe, epochs=2, batch_size=8)
        one = learn(cell, start(cell), tiny_tasks[0], training).state
        two = learn(cell, one, tiny_tasks[1], training).state
        kept = {name.partition(".")[0]: tensor for name, tensor in one.memory.items()}
        names = [name for name in one.shared if not name.endswith(("running_mean", "running_var"))]
        step = torch.cat([(two.shared[name] - one.shared[name]).flatten() for name in names])
        assert kept["fisher"].shape == step.shape
        return float((kept["fisher"] * step.square()).sum())

    assert moved(1000.0) < 0.5 * moved(0.0)


def test_heads_and_batch_norm_statistics_are_left_out(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], tiny_network: Network
) -> None:
    cell = make_cell("ewc")
    state = learn(cell, start(cell), tiny_tasks[0], Training(EWC.recipe, epochs=1, batch_size=8)).state
    trained = torch.cat([state.shared[f"backbone.{n}"].flatten() for n, _ in tiny_network.backbone.named_parameters()])
    assert torch.equal(state.memory["anchor.1"], trained)
    assert state.memory.keys() == {"fisher.1", "anchor.1"}
