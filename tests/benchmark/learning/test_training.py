"""The optimisers against formulas and torch's own in double precision, and the schedules by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmark.learning.training import Training, decay, make_optimizer
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


def test_one_kernel_updates_all_tensors_where_there_is_one() -> None:
    for recipe in (Recipe(), Recipe(optimizer="adam")):
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
