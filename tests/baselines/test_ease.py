"""Adapters per task and prototypes in the space of each, worked out in double precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.ease import EASE
from benchmark.checks.tiny import three_tasks
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell, start
from benchmark.learning.operations import feature_operations_per_image
from benchmark.learning.training import Training
from benchmark.planning.estimate import StreamShape
from benchmark.storage.records import Records
from benchmark.storage.state import State
from methods.network import Network

TASKS = three_tasks("class")
# The task of each class.
OF = (0, 0, 0, 1, 1, 2, 2, 2, 2)


@pytest.fixture
def learned(
    make_cell: Callable[..., Cell], vit: Network, states: Callable[..., list[State]]
) -> tuple[Cell, list[State]]:
    cell = replace(make_cell("ease:bottleneck=5:scale=0.9:alpha=0.3", vit), scenario="class", widths=(3, 2, 4))
    recipe = replace(EASE.recipe, lr=0.05)
    return cell, [start(cell), *states(cell, TASKS, Training(recipe, epochs=2, batch_size=8))]


@pytest.fixture
def spaces(vit: Network, plain_vit: Any) -> Callable[[State, Tensor], list[Tensor]]:
    """spaces(state, images) -> the features [N, D] with each task's adapters."""

    def features(state: State, images: Tensor) -> list[Tensor]:
        class Adapted(plain_vit):
            task = 0

            def beside(self, name: str, x: Tensor) -> Tensor:
                own = f"backbone.{name}.adapter_{self.task}"
                hidden = (x @ state.shared[f"{own}.down"].T + state.shared[f"{own}.down_bias"]).clamp(min=0)
                return x + 0.9 * (hidden @ state.shared[f"{own}.up"].T + state.shared[f"{own}.up_bias"])

        found = []
        for task in range(1, state.learned + 1):
            plain = Adapted({name: tensor.detach() for name, tensor in vit.backbone.state_dict().items()})
            plain.task = task
            found.append(plain.features(images * vit.scale + vit.shift))
        return found

    return features


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b) / (a.square().sum() * b.square().sum()).sqrt()


def test_answers(learned: tuple[Cell, list[State]], spaces: Callable[[State, Tensor], list[Tensor]]) -> None:
    cell, after = learned
    for state in after[1:]:
        tasks = state.learned
        classes = [c for c in range(9) if OF[c] < tasks]
        prototypes: dict[tuple[int, int], Tensor] = {}
        for number, task in enumerate(TASKS[:tasks]):
            features = spaces(state, task.train.images)
            for c in classes:
                if OF[c] == number:
                    own = task.train.labels == c
                    prototypes |= {(c, j): features[j][own].mean(0) for j in range(number + 1)}
        made = {}
        for c in classes:
            for j in range(OF[c] + 1, tasks):
                others = [b for b in classes if OF[b] >= j]
                exps = [cosine(prototypes[c, OF[c]], prototypes[b, OF[c]]).exp() for b in others]
                shares = [value / sum(exps) for value in exps]
                made[c, j] = sum(share * prototypes[b, j] for share, b in zip(shares, others, strict=True))
        prototypes |= made
        images = TASKS[1].test.images[:6]
        features, expected = spaces(state, images), torch.zeros(6, len(classes), dtype=torch.float64)
        for n in range(6):
            for c in classes:
                for j in range(tasks):
                    weight = 1.0 if j == OF[c] else 0.3 / (tasks - 1)
                    expected[n, c] += weight * cosine(features[j][n], prototypes[c, j])
        with torch.no_grad():
            # Whichever task is asked: nobody knows it.
            for number in range(1, tasks + 1):
                logits = network_for(cell, state, number, len(TASKS[number - 1].classes))(images)
                torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-10)


def test_adapters_of_earlier_tasks_are_fixed(learned: tuple[Cell, list[State]]) -> None:
    _, after = learned
    for task in (1, 2, 3):
        own = [name for name in after[task].shared if f".adapter_{task}." in name]
        assert len(own) == 3 * 4
        for name in own:
            assert after[task].shared[name].equal(after[3].shared[name])
        assert all(after[task].shared[name].any() for name in own)
    assert not any(".adapter_2." in name for name in after[1].shared)


def test_what_it_stores_and_computes_on_vit_b_16(vit_b_16: Network, costs_on_vit: Callable[..., Records]) -> None:
    """T sets of adapters of 1,189,632 values; D values a class and task, and their length; T passes."""
    records = costs_on_vit("ease", StreamShape(tasks=3, classes=3, images=4, image_size=224))
    plain = feature_operations_per_image(vit_b_16, 224)
    adapters = 12 * 197 * 2 * 2 * 768 * 64
    for task, record in enumerate(records, 1):
        classes = 3 * task
        assert record["bytes"]["shared"] == 4 * (task * 1_189_632 + classes * (task * 768 + 1))
        assert record["bytes"]["memory"] == 4 * classes * task
        assert record["inference_flops_per_image"] == task * (plain + adapters) + 2 * task * 768 * classes
    # The training pass is the same in each task but for the head, and the images pass once more with each adapter.
    first, second, third = (record["training_flops"] for record in records)
    assert third - second == pytest.approx(second - first, rel=1e-3)
    assert second - first == pytest.approx(4 * (plain + adapters), rel=1e-3)


@pytest.mark.parametrize("option", [{"alpha": 0.0}, {"bottleneck": 0}, {"scale": 0.0}])
def test_options_without_a_meaning(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        EASE(**option)
