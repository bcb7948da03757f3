"""GDumb: what is in the memory, that only the memory is learned, from the start, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from baselines.gdumb import GDumb
from benchmark.checks.tiny import three_tasks
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods import MemorySize
from methods.scenarios import Scenario

TRAINING = Training(GDumb.recipe, epochs=2, batch_size=8)
MEMORY = MemorySize(images=22)


def cell_in(scenario: Scenario, make_cell: Callable[..., Cell]) -> Cell:
    cell = make_cell("gdumb", memory=MEMORY)
    return replace(cell, scenario=scenario, widths=(3, 2, 4) if scenario != "domain" else (3, 3, 3))


def test_the_numbers_of_all_classes_differ_by_one_at_most(
    make_cell: Callable[..., Cell], states: Callable[..., list[State]]
) -> None:
    tasks = three_tasks("class")
    before = 0
    for state, end in zip(states(cell_in("class", make_cell), tasks), (3, 5, 9), strict=True):
        labels = state.memory["replay.labels"].tolist()
        counts = [labels.count(label) for label in range(end)]
        assert sum(counts) == 22
        assert max(counts) - min(counts) <= 1
        old = {row.numpy().tobytes() for row in state.memory["replay.images"][torch.tensor(labels) < before]}
        held = {image.numpy().tobytes() for task in tasks[: state.learned - 1] for image in task.train.images}
        assert old <= held
        before = end
    assert state.count_bytes()["replay"] == state.count_bytes()["memory"] == 22 * (3 * 8 * 8 + 4)


def test_what_was_learned_before_does_not_matter_only_the_memory(
    make_cell: Callable[..., Cell], states: Callable[..., list[State]], tiny_tasks: tuple[Task, ...]
) -> None:
    for scenario in ("task", "class", "domain"):
        tasks = tiny_tasks if scenario == "task" else three_tasks(scenario)
        cell = cell_in(scenario, make_cell)
        *_, two = states(cell, tasks[:2])
        scrambled = replace(
            two,
            shared={name: torch.randn_like(tensor) for name, tensor in two.shared.items()},
            tasks={n: {name: torch.randn_like(t) for name, t in own.items()} for n, own in two.tasks.items()},
        )
        one, other = (learn(cell, state, tasks[2], TRAINING).state for state in (two, scrambled))
        assert all(torch.equal(one.shared[name], other.shared[name]) for name in one.shared)
        assert all(torch.equal(t, other.tasks[n][name]) for n, own in one.tasks.items() for name, t in own.items())


def test_costs_as_much_as_the_memory_is_large(make_cell: Callable[..., Cell]) -> None:
    """By hand at 8x8: 64 positions x 6 x 27, whose images need no gradient; 64 x 5 x 6; heads of 5 x classes."""
    cell = cell_in("class", make_cell)
    state = start(cell)
    for task, end in zip(three_tasks("class"), (3, 5, 9), strict=True):
        learned = learn(cell, state, task, TRAINING)
        state = learned.state
        assert learned.operations == 2 * 2 * 22 * (2 * 64 * 6 * 27 + 3 * 64 * 5 * 6 + 3 * 5 * end)
