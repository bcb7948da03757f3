"""Early stopping and the best epoch, compared with trainings that simply have fewer epochs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from baselines.shared.finetuning import FineTuning
from benchmark.images.labelled import LabelledImages
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell, LearnedTask, learn, start
from benchmark.learning.operations import inference_operations_per_image
from benchmark.learning.training import Training
from benchmark.learning.validation import Stopping
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods import methods
from methods.configured import configure
from methods.errors import UserError
from methods.recipe import Recipe

EPOCHS = 7


@pytest.fixture
def tasks(tiny_tasks: tuple[Task, ...]) -> tuple[Task, ...]:
    """The tiny tasks with as many validation images as training images, so that the epochs differ."""
    return tuple(
        replace(task, validation=LabelledImages(task.train.images.flip(3), task.train.labels)) for task in tiny_tasks
    )


@pytest.fixture
def second(make_cell: Callable[..., Cell], tasks: tuple[Task, ...]) -> Callable[..., tuple[Cell, State, LearnedTask]]:
    """second(spec, epochs, first) -> what is learned of the second task, after the first one with the specification
    `first`.
    """

    def make(spec: str, epochs: int, first: str) -> tuple[Cell, State, LearnedTask]:
        before = make_cell(first)
        state = learn(before, start(before), tasks[0], Training(configure(first).recipe, 2, 8)).state
        cell = make_cell(spec)
        return cell, state, learn(cell, state, tasks[1], Training(configure(spec).recipe, epochs, 8))

    return make


def right_answers(cell: Cell, state: State, task: Task) -> int:
    """Counted image by image."""
    network = network_for(cell, state, 2, len(task.classes))
    with torch.no_grad():
        answers = [int(network(image[None]).argmax()) for image in task.validation.images]
    return sum(answer == label for answer, label in zip(answers, task.validation.labels.tolist(), strict=True))


def expected(rights: Sequence[int], patience: int) -> tuple[int, int]:
    """(epochs that are learned, the best one), from 1."""
    best, most = 0, -1
    for epoch, right in enumerate(rights, 1):
        if right > most:
            best, most = epoch, right
        elif patience and epoch - best >= patience:
            return epoch, best
    return len(rights), best


def assert_same(one: State, other: State) -> None:
    parts, others = dict(one.parts()), dict(other.parts())
    assert parts.keys() == others.keys()
    for part, tensors in parts.items():
        assert tensors.keys() == others[part].keys()
        for name, tensor in tensors.items():
            assert torch.equal(tensor, others[part][name]), (part, name)


@pytest.mark.parametrize("name", ["sgd", "clr", "ewc", "si", "er:fill=during", "linear-probe"])
@pytest.mark.parametrize("patience", [0, 1, 2])
def test_it_ends_as_if_it_had_had_so_many_epochs(
    name: str, patience: int, second: Callable[..., tuple[Cell, State, LearnedTask]], tasks: tuple[Task, ...]
) -> None:
    # With a large, constant rate the accuracy goes up and down, and fewer epochs are the beginning of more.
    plain = f"{name}:schedule=constant:lr=0.3"
    alone = [second(plain, epochs, plain) for epochs in range(1, EPOCHS + 1)]
    rights = [right_answers(cell, learned.state, tasks[1]) for cell, _, learned in alone]
    ends, best = expected(rights, patience)
    for keep in ("last", "best"):
        if keep == "last" and not patience:
            continue
        cell, _, learned = second(f"{plain}:patience={patience}:keep={keep}", EPOCHS, plain)
        stopping = learned.stopping
        assert stopping is not None
        kept = best if keep == "best" else ends
        assert (stopping.learned, stopping.kept) == (ends, kept)
        assert stopping.accuracies == [right / 40 for right in rights[:ends]]
        assert stopping.accuracy == rights[kept - 1] / 40
        assert_same(learned.state, alone[kept - 1][2].state)
        assert learned.losses == alone[ends - 1][2].losses
        assert learned.steps == 5 * ends, "what was learned in vain counts too"
        network = network_for(cell, learned.state, 2, len(tasks[1].classes))
        an_image = inference_operations_per_image(network, network.classes, 8)
        # Features are computed once, and then only the head answers.
        once, each = (an_image - 2 * 5 * 2, 2 * 5 * 2) if name == "linear-probe" else (0, an_image)
        assert learned.operations == alone[ends - 1][2].operations + 40 * (once + ends * each)


def test_looking_changes_nothing(second: Callable[..., tuple[Cell, State, LearnedTask]]) -> None:
    """Neither random numbers, nor running statistics, nor the mode of a module."""
    for name in ("sgd", "er:fill=during", "hat", "cls-er", "confit"):
        _, _, plain = second(name, 4, name)
        _, _, learned = second(f"{name}:patience=50", 4, name)
        assert_same(learned.state, plain.state)
        assert learned.losses == plain.losses


@pytest.mark.parametrize(("name", "first"), [("confit", 4), ("packnet", 5), ("sgd", 1)])
def test_a_method_with_stages_ends_in_the_last_one(
    name: str, first: int, second: Callable[..., tuple[Cell, State, LearnedTask]]
) -> None:
    """confit trains everything after half of the epochs; packnet prunes after two thirds of them."""
    _, _, learned = second(f"{name}:keep=best", EPOCHS, name)
    assert learned.stopping is not None
    assert list(learned.stopping.right) == list(range(first, EPOCHS + 1))
    assert learned.stopping.kept >= first


def test_packnet_keeps_what_it_pruned(second: Callable[..., tuple[Cell, State, LearnedTask]]) -> None:
    """The kept epoch leaves weights for later tasks, as the last one does."""
    _, _, plain = second("packnet", EPOCHS, "packnet")
    _, _, learned = second("packnet:keep=best:lr=1:schedule=constant", EPOCHS, "packnet")

    def owners(state: State) -> dict[str, Any]:
        return {name: tensor for name, tensor in state.shared.items() if "owner" in name}

    assert owners(plain.state).keys() == owners(learned.state).keys() != set()
    free = [int((tensor == 0).sum()) for tensor in owners(learned.state).values()]
    assert sum(free) > 0


class Unstorable(FineTuning):
    def before_training_exp(self, step: Any) -> None:
        self.numbers = iter([1, 2])


def test_a_method_that_cannot_be_stored_is_named(
    make_cell: Callable[..., Cell], tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(methods, "_entries", dict(methods._entries))
    methods.register("unstorable")(Unstorable)
    cell = make_cell("unstorable")
    with pytest.raises(UserError, match=r"method\.numbers is a list_iterator"):
        learn(cell, start(cell), tasks[0], Training(Recipe(keep="best"), 2, 8))
    assert learn(cell, start(cell), tasks[0], Training(Recipe(patience=1), 2, 8)).stopping is not None


def test_the_first_of_several_best_epochs_is_kept() -> None:
    stopping = Stopping(Recipe(patience=2, keep="best"), 10)
    for epoch, (right, better, ends) in enumerate(
        [(3, True, False), (5, True, False), (5, False, False), (4, False, True)], 1
    ):
        stopping.learned = epoch
        assert (stopping.look(epoch, right), stopping.ends) == (better, ends)
    assert (stopping.kept, stopping.accuracy) == (2, 0.5)


def test_patience_must_not_be_negative() -> None:
    with pytest.raises(UserError, match="patience=-1 must not be negative"):
        configure("sgd:patience=-1")
    with pytest.raises(UserError, match="keep"):
        configure("sgd:keep=first")
    with pytest.raises(UserError, match="makes no gradient steps, so that patience means nothing to it"):
        configure("ncm:patience=1")
