"""The optimisers against formulas and torch's own in double precision, and the schedules by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training, decay, make_optimizer, with_warm_up
from benchmark.streams.base import Task
from methods import Method, Step, methods
from methods.configured import configure
from methods.recipe import Recipe

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ("constant", [1, 1, 1, 1, 1, 1]),
        ("step", [1, 1, 0.1, 0.1, 0.01, 0.01]),
        ("cosine", [1, 0.9330127, 0.75, 0.5, 0.25, 0.0669873]),
    ],
)
def test_schedules(schedule: str, factors: list[float]) -> None:
    factor = decay(Training(Recipe(schedule=schedule), epochs=6, batch_size=8))
    assert [factor(epoch) for epoch in range(6)] == pytest.approx(factors)


def test_a_step_schedule_ends_a_hundred_times_lower_whatever_the_epochs() -> None:
    for epochs in (1, 2, 7):
        factor = decay(Training(Recipe(schedule="step"), epochs, batch_size=8))
        # The scheduler asks for the epoch after the last, too.
        assert factor(0) == 1
        assert factor(epochs) == factor(epochs - 1) >= 0.01


RECIPES = [
    Recipe(lr=0.1, momentum=0.0),
    Recipe(lr=0.1, momentum=0.9),
    Recipe(lr=0.1, momentum=0.9, weight_decay=0.1),
    Recipe(optimizer="adam", lr=0.01, weight_decay=0.1),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_steps_are_those_of_plain_torch_in_double_precision(recipe: Recipe) -> None:
    """Of two tensors the second is trained from the third step on, and not in the fifth."""
    random = torch.Generator().manual_seed(0)
    ours = [nn.Parameter(torch.randn(4, 3, generator=random)), nn.Parameter(torch.randn(5, generator=random))]
    theirs = [nn.Parameter(parameter.detach().double()) for parameter in ours]
    optimizer = make_optimizer(ours, recipe, CPU)
    decayed = {"lr": recipe.lr, "weight_decay": recipe.weight_decay, "foreach": False, "fused": False}
    plain: torch.optim.Optimizer = (
        torch.optim.Adam(theirs, **decayed)
        if recipe.optimizer == "adam"
        else torch.optim.SGD(theirs, momentum=recipe.momentum, **decayed)
    )
    for step in range(8):
        for number, (mine, their) in enumerate(zip(ours, theirs, strict=True)):
            trained = number == 0 or (step >= 2 and step != 4)
            gradient = torch.randn(mine.shape, generator=random)
            mine.grad, their.grad = (gradient, gradient.double()) if trained else (None, None)
        optimizer.step()
        plain.step()
        for mine, their in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine.detach().double(), their.detach(), rtol=1e-5, atol=1e-6)


def adamw(weight: Tensor, gradients: list[Tensor], lr: float, decay: float) -> Tensor:
    """Loshchilov and Hutter, algorithm 2: the weight decay does not pass through the moments of the gradient."""
    mean, square = torch.zeros_like(weight), torch.zeros_like(weight)
    for step, gradient in enumerate(gradients, 1):
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        unbiased, unbiased_square = mean / (1 - 0.9**step), square / (1 - 0.999**step)
        weight = weight - lr * (unbiased / (unbiased_square.sqrt() + 1e-8) + decay * weight)
    return weight


def rmsprop(weight: Tensor, gradients: list[Tensor], lr: float, decay: float) -> Tensor:
    """Hinton's rule with a penalty in the gradient."""
    square = torch.zeros_like(weight)
    for gradient in gradients:
        penalised = gradient + decay * weight
        square = 0.99 * square + 0.01 * penalised**2
        weight = weight - lr * penalised / (square.sqrt() + 1e-8)
    return weight


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize(("optimizer", "formula"), [("adamw", adamw), ("rmsprop", rmsprop)])
def test_three_steps_are_those_of_the_formula(optimizer: str, formula: Callable[..., Tensor], decay: float) -> None:
    """Gradients that differ a thousandfold: a decay that Adam's preconditioner scales would be another one."""
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(5, generator=random, dtype=torch.float64)
    sizes = torch.tensor([1e-3, 1e-2, 0.1, 1, 10], dtype=torch.float64)
    gradients = [sizes * torch.randn(5, generator=random, dtype=torch.float64) for _ in range(3)]
    parameter = nn.Parameter(weight.clone())
    made = make_optimizer([parameter], Recipe(optimizer=optimizer, lr=0.01, weight_decay=decay), CPU)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        made.step()
    assert_close(parameter.detach(), formula(weight, gradients, 0.01, decay), rtol=1e-12, atol=1e-13)


def test_without_gradients_only_adamw_makes_weights_smaller_by_the_same_share() -> None:
    """A tenth of a hundredth of the weight in each step: 2 * 0.999 * 0.999."""
    for optimizer, expected in (("adamw", 2 * 0.999**2), ("adam", 2 - 0.02)):
        parameter = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
        made = make_optimizer([parameter], Recipe(optimizer=optimizer, lr=0.01, weight_decay=0.1), CPU)
        for _ in range(2):
            parameter.grad = torch.zeros_like(parameter)
            made.step()
        assert parameter.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("recipe", "factors"),
    [
        # Of four epochs of two steps the first two warm up; then the schedule goes over the other two.
        (Recipe(schedule="constant", warmup_epochs=2), [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]),
        (Recipe(schedule="cosine", warmup_epochs=2), [0.25, 0.5, 0.75, 1, 1, 1, 0.5, 0.5]),
        (Recipe(schedule="step", warmup_epochs=1), [0.5, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]),
        (Recipe(schedule="cosine"), [1, 1, 0.8535534, 0.8535534, 0.5, 0.5, 0.1464466, 0.1464466]),
    ],
)
def test_the_learning_rate_rises_in_each_step_of_the_warm_up(recipe: Recipe, factors: list[float]) -> None:
    factor = with_warm_up(Training(recipe, epochs=4, batch_size=8), steps_per_epoch=2)
    assert [factor(step) for step in range(8)] == pytest.approx(factors)


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("warmup_epochs=2:schedule=cosine", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, *[1.0] * 5, *[0.5] * 5]),
        ("schedule=cosine", [*[1.0] * 5, *[0.8535534] * 5, *[0.5] * 5, *[0.1464466] * 5]),
    ],
)
def test_the_steps_of_a_task_have_these_learning_rates(
    text: str,
    rates: list[float],
    make_cell: Callable[..., Cell],
    tiny_tasks: tuple[Task, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each task begins anew. Forty images in batches of eight are five steps an epoch."""
    seen: list[float] = []
    monkeypatch.setattr(
        Method, "before_update", lambda self, step: seen.append(step.optimizer.param_groups[0]["lr"]), raising=True
    )
    recipe = configure(f"sgd:lr=0.04:{text}").recipe
    cell, how = make_cell("sgd"), Training(recipe, epochs=4, batch_size=8)
    state = learn(cell, start(cell), tiny_tasks[0], how).state
    learn(cell, state, tiny_tasks[1], how)
    assert seen == pytest.approx([0.04 * rate for rate in 2 * rates])


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_parameters_with_the_same_scale_are_a_group_in_their_order(optimizer: str) -> None:
    parameters = [nn.Parameter(torch.zeros(size)) for size in range(1, 5)]
    made = make_optimizer(parameters, Recipe(optimizer=optimizer, lr=0.1), CPU, scales=[0.01, 1, 0.01, 1])
    sizes = [[len(parameter) for parameter in group["params"]] for group in made.param_groups]
    assert sizes == [[1, 3], [2, 4]]
    assert [group["lr"] for group in made.param_groups] == pytest.approx([0.001, 0.1])
    assert made.defaults["lr"] == 0.1


@pytest.mark.parametrize("text", ["", "warmup_epochs=1:"])
@pytest.mark.parametrize("clip", [0.0, 1e-3])
def test_scaled_parameters_learn_by_the_formula(
    text: str,
    clip: float,
    make_cell: Callable[..., Cell],
    tiny_tasks: tuple[Task, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Plain gradient descent: a weight changes by rate * scale * gradient, the schedule's factor in each rate."""
    monkeypatch.setattr(methods.get("sgd"), "lr_scale", lambda self, name: 1.0 if name.startswith("heads.") else 0.01)
    changes: list[tuple[list[str], list[Tensor], list[Tensor]]] = []

    def before(self: Method, step: Step) -> None:
        names = [name for name, p in step.model.named_parameters() if p.requires_grad]
        assert [id(p) for p in step.trained] == [id(p) for p in step.model.parameters() if p.requires_grad]
        changes.append((names, [p.detach().double().clone() for p in step.trained], []))

    def after(self: Method, step: Step) -> None:
        names, values, _ = changes[-1]
        now = [p.detach().double() for p in step.trained]
        # With a limit, the gradients are those that were limited.
        gradients = [p.grad.double() for p in step.trained if p.grad is not None]
        changes[-1] = (names, [new - old for new, old in zip(now, values, strict=True)], gradients)

    monkeypatch.setattr(Method, "before_forward", before)
    monkeypatch.setattr(Method, "after_update", after)
    recipe = configure(f"sgd:{text}lr=0.1:momentum=0:schedule=cosine:clip={clip}").recipe
    learn(make_cell("sgd"), start(make_cell("sgd")), tiny_tasks[0], Training(recipe, epochs=2, batch_size=8))
    factors = [0.2, 0.4, 0.6, 0.8, 1.0, *[1.0] * 5] if text else [*[1.0] * 5, *[0.5] * 5]
    assert len(changes) == 10
    for (names, moved, gradients), factor in zip(changes, factors, strict=True):
        assert {name.startswith("heads.") for name in names} == {True, False}
        if clip:
            assert torch.stack([gradient.norm() for gradient in gradients]).norm() <= clip * 1.001
        for name, change, gradient in zip(names, moved, gradients, strict=True):
            scale = 1.0 if name.startswith("heads.") else 0.01
            assert_close(change, -0.1 * factor * scale * gradient, rtol=1e-3, atol=1e-7)


def test_one_kernel_updates_all_tensors_where_there_is_one() -> None:
    for recipe in (Recipe(), Recipe(optimizer="adam"), Recipe(optimizer="adamw")):
        for device, fused in ((CPU, True), (torch.device("meta"), False)):
            parameters = [nn.Parameter(torch.zeros(2, device=device))]
            assert make_optimizer(parameters, recipe, device).defaults["fused"] is fused


def test_momentum_starts_from_nothing() -> None:
    """Two steps with gradients 1 and 2: the velocity is 1, then 0.5 * 1 + 2."""
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = make_optimizer([parameter], Recipe(lr=0.1, momentum=0.5), CPU)
    for gradient, expected in ((1.0, -0.1), (2.0, -0.35)):
        parameter.grad = torch.tensor([gradient])
        optimizer.step()
        assert parameter.item() == pytest.approx(expected)
