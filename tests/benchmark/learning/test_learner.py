"""One task: the order of the images, what is counted, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.operations import OperationCounter
from benchmark.learning.seeds import derive
from benchmark.learning.strategy import DivergedError
from benchmark.learning.training import Training
from benchmark.streams.base import Task
from methods import Method, methods
from methods.recipe import Recipe


def test_every_method_sees_the_same_images_in_the_same_order(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[list[int]]] = {}

    def spy(self: Method, strategy, **kwargs) -> None:
        seen.setdefault(self.name, []).append(strategy.mb_y.tolist())

    monkeypatch.setattr(Method, "before_forward", spy)
    for name in ("sgd", "clr", "er"):
        cell = make_cell(name)
        learn(cell, start(cell), tiny_tasks[0], Training(methods.get(name).recipe, epochs=2, batch_size=8))
    assert seen["sgd"] == seen["clr"] == seen["er"]
    assert len(seen["sgd"]) == 10


@pytest.mark.parametrize("name", ["sgd", "clr", "linear-probe"])
def test_sampled_operations_are_those_of_the_whole_epoch(
    name: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    """Counting every step of 40 images in batches of 8 gives what one step, multiplied out, says."""
    cell = make_cell(name)
    with OperationCounter() as counter:
        learned = learn(cell, start(cell), tiny_tasks[0], Training(Recipe(), epochs=3, batch_size=8))
    assert counter.get_total_flops() == learned.operations > 0


def pass_again(step: Any) -> None:
    """The minibatch goes through the network a second time."""
    step.loss += step.model(step.images).square().mean()


def look_again(step: Any) -> None:
    """The same without gradients."""
    with torch.no_grad():
        step.model(step.images)


def multiply(step: Any) -> None:
    """A matrix product, for each image."""
    torch.ones(len(step.labels), 5) @ torch.ones(5, 700)


# Of four epochs of five steps.
TIMES: dict[str, Callable[[Any], bool]] = {
    "from the third epoch on": lambda step: step.epoch > 2,
    "in the second epoch": lambda step: step.epoch == 2,
    "every second step": lambda step: step.steps_done % 2 == 1,
    "every third step of all": lambda step: ((step.epoch - 1) * 5 + step.steps_done) % 3 == 2,
    "the last steps of epochs": lambda step: step.steps_done == 4,
}


@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize(
    ("work", "when"),
    [(work, when) for work in (pass_again, look_again) for when in TIMES] + [(multiply, when) for when in [*TIMES][:2]],
)
def test_work_that_changes_within_a_task_is_counted(
    work: Callable[[Any], None],
    when: str,
    size: int,
    make_cell: Callable[..., Cell],
    tiny_tasks: tuple[Task, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Against a counter that sees all steps; the last of five may have 4 images only."""

    def before_backward(self: Method, step: Any, **kwargs: Any) -> None:
        if TIMES[when](step):
            work(step)

    monkeypatch.setattr(Method, "before_backward", before_backward)
    cell = make_cell("sgd")
    with OperationCounter() as counter:
        learned = learn(cell, start(cell), tiny_tasks[0], Training(Recipe(), epochs=4, batch_size=size))
    assert learned.steps == 20
    if size == 9 and when == "the last steps of epochs":
        # A kind that only a smaller step is of is never counted; it counts as the one before.
        assert 0.8 < learned.operations / counter.get_total_flops() < 1
    else:
        assert learned.operations == counter.get_total_flops()


@pytest.mark.parametrize("work", [pass_again, look_again, multiply])
@pytest.mark.parametrize("when", [*TIMES][:2])
def test_a_dry_run_knows_the_operations_of_steps_that_change_from_epoch_to_epoch(
    work: Callable[[Any], None],
    when: str,
    make_cell: Callable[..., Cell],
    tiny_tasks: tuple[Task, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def before_backward(self: Method, step: Any, **kwargs: Any) -> None:
        if TIMES[when](step):
            work(step)

    monkeypatch.setattr(Method, "before_backward", before_backward)
    cell, how = make_cell("sgd"), Training(Recipe(), epochs=4, batch_size=8)
    learned = learn(cell, start(cell), tiny_tasks[0], how)
    dry = learn(cell, start(cell), tiny_tasks[0], replace(how, dry=True))
    assert (learned.steps, dry.steps) == (20, 4)
    assert dry.operations == learned.operations


def counting() -> bool:
    """Whether torch has kernels that count."""
    return torch._C._dispatch_has_kernel_for_dispatch_key("aten::mm", "BackendSelect")


def test_few_steps_are_counted(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each makes training slower: the first of each epoch, and those that look for another kind."""
    counted: list[bool] = []

    def before_backward(self: Method, step: Any, **kwargs: Any) -> None:
        counted.append(counting())
        if step.epoch > 1 and step.steps_done == 1:
            look_again(step)

    monkeypatch.setattr(Method, "before_backward", before_backward)
    cell = make_cell("sgd")
    learn(cell, start(cell), tiny_tasks[0], Training(Recipe(), epochs=4, batch_size=8))
    found = ["".join("c" if each else "." for each in counted[first : first + 5]) for first in (0, 5, 10, 15)]
    assert found == ["c....", "c.ccc", "cc...", "c...."]


def test_a_dry_run_knows_the_operations_of_a_method_that_trains_other_tensors_from_epoch_to_epoch(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backbone is trained in the last two of three epochs; one step of each kind tells the cost of all."""

    def before_training_epoch(self: Method, strategy, **kwargs) -> None:
        steps.append(0)
        strategy.model.backbone.requires_grad_(len(steps) > 1)

    def after_training_iteration(self: Method, strategy, **kwargs) -> None:
        steps[-1] += 1

    monkeypatch.setattr(Method, "before_training_epoch", before_training_epoch)
    monkeypatch.setattr(Method, "after_training_iteration", after_training_iteration)
    cell, how = make_cell("sgd"), Training(Recipe(), epochs=3, batch_size=8)
    with OperationCounter() as counter:
        steps: list[int] = []
        learned = learn(cell, start(cell), tiny_tasks[0], how)
        assert steps == [5, 5, 5]
        assert learned.steps == 15
    steps = []
    dry = learn(cell, start(cell), tiny_tasks[0], replace(how, dry=True))
    assert steps == [1, 1, 0]
    assert counter.get_total_flops() == learned.operations == dry.operations


def test_operations_of_hooks_are_counted_exactly(make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    """The Fisher information of twice as many samples costs twice as much."""

    def once(samples: int) -> int:
        cell = make_cell("ewc", samples=samples)
        return learn(cell, start(cell), tiny_tasks[0], Training(Recipe(), epochs=1, batch_size=8)).operations

    sgd = make_cell("sgd")
    training = learn(sgd, start(sgd), tiny_tasks[0], Training(Recipe(), epochs=1, batch_size=8)).operations
    assert once(32) - training == 2 * (once(16) - training) > 0


def test_a_step_that_fails_leaves_nothing_counting(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Method, strategy, **kwargs) -> None:
        raise RuntimeError("in the first step")

    monkeypatch.setattr(Method, "before_backward", fail)
    cell = make_cell("sgd")
    with pytest.raises(RuntimeError, match="in the first step"):
        learn(cell, start(cell), tiny_tasks[0], Training(Recipe(), epochs=1, batch_size=8))
    assert not counting()


def test_a_loss_that_is_no_number_stops_the_task(make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    cell = make_cell("sgd")
    recipe = replace(Recipe(), lr=1e30)
    with pytest.raises(DivergedError, match="epoch 1 of task 1"):
        learn(cell, start(cell), tiny_tasks[0], Training(recipe, epochs=2, batch_size=8))


def test_clip_limits_a_step(make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    """One step of plain gradient descent at learning rate 1 is as long as the clipped gradient."""
    cell = make_cell("sgd", bn="frozen")
    recipe = Recipe(lr=1.0, momentum=0.0, clip=1e-3)
    before = start(cell)
    after = learn(cell, before, tiny_tasks[0], Training(recipe, epochs=1, batch_size=40)).state
    torch.manual_seed(derive(0, 1, "head"))
    head = torch.nn.Linear(5, 3)
    steps = [after.shared[name] - before.shared[name] for name in before.shared]
    steps += [after.tasks[1]["heads.1.weight"] - head.weight, after.tasks[1]["heads.1.bias"] - head.bias]
    length = torch.cat([step.detach().flatten() for step in steps]).norm().item()
    assert length == pytest.approx(1e-3, rel=1e-2)


def test_what_is_kept_comes_in_one_order_whether_it_was_stored_or_not(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file has its tensors by name, where 10 stands before 2: a sum over them must not depend on it."""
    seen: list[list[str]] = []
    monkeypatch.setattr(Method, "before_training_exp", lambda self, *args, **kwargs: seen.append(list(self.kept)))
    cell = make_cell("sgd")
    training = Training(Recipe(), epochs=1, batch_size=8)
    state = learn(cell, start(cell), tiny_tasks[0], training).state
    for names in (("own.2", "own.10", "own.1"), ("own.1", "own.10", "own.2")):
        learn(cell, replace(state, memory={name: torch.zeros(1) for name in names}), tiny_tasks[1], training)
    assert seen[1:] == [["own.1", "own.10", "own.2"]] * 2
