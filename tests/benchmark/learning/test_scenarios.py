"""What is learned with one head for all tasks: what the state holds, and what is answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from benchmark.checks.subject import flat
from benchmark.checks.tiny import make_task
from benchmark.learning.answering import Answering
from benchmark.learning.evaluation import evaluate, network_for
from benchmark.learning.learner import Cell, LearnedTask, learn, start
from benchmark.learning.panel import Panel
from benchmark.learning.training import Training
from benchmark.results.answers import accuracy
from benchmark.storage.state import State
from benchmark.streams.base import Stream, Task
from benchmark.streams.columns import in_columns
from methods.errors import UserError

CPU = torch.device("cpu")
WIDTHS = (3, 2, 4, 2, 3)
JOINT = (
    *("sgd", "ewc", "online-ewc", "si", "lwf", "er:memory=9", "derpp:memory=9", "agem:memory=9", "joint"),
    *("er-ace:memory=9", "icarl:memory=20", "gdumb:memory=9", "wa:memory=20", "bic:memory=20"),
)


@pytest.fixture
def cell_and_tasks(make_cell: Callable[..., Cell]) -> Callable[..., tuple[Cell, tuple[Task, ...]]]:
    """cell_and_tasks("er", 3) -> a cell in the scenario "class", and the first three of five tasks."""

    def make(spec: str, count: int, known: int | None = None) -> tuple[Cell, tuple[Task, ...]]:
        tasks = tuple(make_task(number, width) for number, width in enumerate(WIDTHS[: known or count], 1))
        stream = in_columns(Stream("tiny", tasks), "class")
        cell = replace(make_cell(spec), scenario="class", widths=stream.widths, tasks=stream.names)
        return cell, stream.tasks[:count]

    return make


def fold(cell: Cell, tasks: tuple[Task, ...]) -> list[LearnedTask]:
    state, found = start(cell), []
    for task in tasks:
        found.append(learn(cell, state, task, Training(cell.make_method().recipe, epochs=1, batch_size=8)))
        state = found[-1].state
    return found


def same(one: State, other: State) -> bool:
    first, second = flat(one), flat(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("spec", JOINT)
def test_the_state_does_not_depend_on_tasks_that_are_yet_to_come(
    spec: str, cell_and_tasks: Callable[..., tuple[Cell, tuple[Task, ...]]]
) -> None:
    alone = fold(*cell_and_tasks(spec, 3))
    of_five = fold(*cell_and_tasks(spec, 3, known=5))
    assert same(alone[-1].state, of_five[-1].state)
    assert [each.operations for each in alone] == [each.operations for each in of_five]
    for learned, classes in zip(alone, (3, 5, 9), strict=True):
        assert learned.state.shared["heads.shared.weight"].shape == (classes, 5)
        assert learned.state.shared["heads.shared.bias"].shape == (classes,)
        assert not any(learned.state.tasks.values())
        assert learned.state.count_bytes()["heads"] == 4 * classes * 6


def test_with_all_logits_the_head_has_all_classes_from_the_start(
    cell_and_tasks: Callable[..., tuple[Cell, tuple[Task, ...]]],
) -> None:
    cell, tasks = cell_and_tasks("sgd:logits=all", 2, known=3)
    states = [learned.state for learned in fold(cell, tasks)]
    assert [len(state.shared["heads.shared.bias"]) for state in states] == [9, 9]
    # What is yet to come is trained too: downwards.
    assert not torch.equal(*(state.shared["heads.shared.bias"][5:] for state in states))
    assert network_for(cell, states[0], 1, 3)(tasks[0].test.images).shape == (20, 3)
    assert network_for(cell, states[1], 1, 3)(tasks[0].test.images).shape == (20, 5)


def test_the_rows_of_a_task_start_as_its_own_head_would(
    cell_and_tasks: Callable[..., tuple[Cell, tuple[Task, ...]]], make_cell: Callable[..., Cell]
) -> None:
    cell, tasks = cell_and_tasks("sgd", 2)
    still = Training(replace(cell.make_method().recipe, lr=1e-30, clip=0.0), epochs=1, batch_size=8)
    first = learn(cell, start(cell), tasks[0], still).state
    second = learn(cell, first, tasks[1], still).state
    torch.manual_seed(cell.derive(2, "head"))
    assert torch.equal(second.shared["heads.shared.weight"][3:], torch.nn.Linear(5, 2).weight.detach())
    assert torch.equal(second.shared["heads.shared.weight"][:3], first.shared["heads.shared.weight"])


@pytest.mark.parametrize("spec", ["er:memory=9", "er:memory=9:logits=all", "lwf", "icarl:memory=20", "bic"])
def test_who_is_right_among_all_classes_is_right_among_those_of_the_task(
    spec: str, cell_and_tasks: Callable[..., tuple[Cell, tuple[Task, ...]]]
) -> None:
    """For every image; and both accuracies, from logits computed one image at a time."""
    cell, tasks = cell_and_tasks(spec, 3, known=5)
    state = fold(cell, tasks)[-1].state
    answering = Answering(cell)
    for number, task in enumerate(tasks, 1):
        network, own = answering.network(state, number, len(task.classes)), cell.columns(3)[number - 1]
        assert own == (range(3), range(3, 5), range(5, 9))[number - 1]
        weight, bias = (state.shared[f"heads.shared.{name}"][:9] for name in ("weight", "bias"))
        right, derived = [], []
        for image, label in zip(task.test.images, task.test.labels.tolist(), strict=True):
            with torch.no_grad():
                logits = (network.features(image[None]) @ weight.T + bias)[0].tolist()
            right.append(max(range(9), key=logits.__getitem__) == label)
            derived.append(max(own, key=logits.__getitem__) == label)
        assert all(d for r, d in zip(right, derived, strict=True) if r)
        expected = [sum(right) / 20, sum(derived) / 20]
        given = Panel(cell, "fp32").ask(state, number, task.test).own
        assert [accuracy(answers.classes, task.test.labels) for answers in given.values()] == expected
        assert evaluate(network, task.test, CPU) == given["class"]


def test_answers_change_with_the_classes_that_compete(
    cell_and_tasks: Callable[..., tuple[Cell, tuple[Task, ...]]],
) -> None:
    """So that a known evaluation is not taken for one among more classes."""
    cell, _ = cell_and_tasks("sgd", 3)
    assert len({cell.data_key(learned, "images") for learned in (1, 2, 3)}) == 3
    assert replace(cell, scenario="task").data_key(2, "images") == "images"


def test_one_network_for_all_tasks_answers_like_new_ones(
    cell_and_tasks: Callable[..., tuple[Cell, tuple[Task, ...]]],
) -> None:
    cell, tasks = cell_and_tasks("sgd", 3)
    kept = Answering(cell)
    for learned in fold(cell, tasks):
        for number, task in enumerate(tasks[: learned.state.learned], 1):
            new = network_for(cell, learned.state, number, len(task.classes))
            old = kept.network(learned.state, number, len(task.classes))
            with torch.no_grad():
                assert torch.equal(new(task.test.images), old(task.test.images))
    # A head of S classes takes 2 S D operations for an image.
    few, many = (kept.operations(learned.state, 1, 3, 8) for learned in fold(cell, tasks)[::2])
    assert many - few == 2 * 5 * (9 - 3)


def head_operations(learned: LearnedTask, classes: int) -> int:
    return learned.operations - 3 * 40 * 2 * 5 * classes


def test_a_step_costs_what_a_head_of_all_classes_so_far_costs(
    cell_and_tasks: Callable[..., tuple[Cell, tuple[Task, ...]]],
) -> None:
    """Forward, and backward to the weights and to the features: three products for each of 40 images."""
    one, two, three = fold(*cell_and_tasks("sgd", 3))
    assert head_operations(one, 3) == head_operations(two, 5) == head_operations(three, 9)
    everything = fold(*cell_and_tasks("sgd:logits=all", 3))
    assert {head_operations(each, 9) for each in everything} == {head_operations(one, 3)}


def test_tensors_of_a_task_leave_no_answer_where_the_task_is_not_known(
    cell_and_tasks: Callable[..., tuple[Cell, tuple[Task, ...]]],
) -> None:
    cell, _ = cell_and_tasks("bn-only", 1)
    with pytest.raises(UserError, match="'bn-only' keeps tensors for each task"):
        start(cell)


def test_domains_share_a_head_that_is_as_wide_as_their_classes(make_cell: Callable[..., Cell]) -> None:
    tasks = tuple(make_task(number, 3) for number in (1, 2))
    cell = replace(make_cell("sgd"), scenario="domain", most_classes=3, widths=(3, 3))
    before = start(cell).shared["heads.shared.weight"]
    one, two = (learned.state for learned in fold(cell, tasks))
    sizes: list[Tensor] = [before, *(state.shared["heads.shared.weight"] for state in (one, two))]
    assert [tensor.shape for tensor in sizes] == [(3, 5)] * 3
    assert not torch.equal(sizes[1], sizes[2])
    assert network_for(cell, two, 1, 3)(tasks[0].test.images).shape == (20, 3)
