"""A training that is killed in the middle of a task goes on there, and ends as if nothing had happened."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from baselines.shared.finetuning import FineTuning
from benchmark.learning.course import CannotResumeError
from benchmark.learning.learner import Cell, LearnedTask, learn, start
from benchmark.learning.training import Training
from benchmark.snapshots.snapshot import Snapshot
from benchmark.storage.checkpoint import CheckpointFile
from benchmark.streams.base import Task
from methods import methods
from methods.configured import configure

#: Of five steps each: after four of them, and after the epoch, a checkpoint is due.
EPOCHS = 3

#: Options are those of the specification.
SPECS = (
    *("clr", "ewc", "si", "er:fill=during", "derpp:fill=during", "cls-er:fill=during", "confit", "hat", "packnet"),
    *("joint", "single-task", "lwf", "supsup", "linear-probe", "avalanche:MASPlugin", "own-attributes", "dropout"),
    *("sgd:optimizer=adam", "clr:optimizer=rmsprop:warmup_epochs=1", "sgd:keep=best", "er:fill=during:keep=best"),
    *("si:patience=1:schedule=constant:lr=0.3", "packnet:keep=best:schedule=constant:lr=0.3"),
)


class KilledError(Exception):
    """The process ends."""


class File(CheckpointFile):
    """Checkpoints after every step; after one of them the process is killed."""

    def __init__(self, folder: Path, last: int | None = None):
        self.said: list[str] = []
        self.written, self.last = 0, last
        super().__init__(
            folder, 2, 0, lambda: {"the program": "this one"}, self.said.append, lambda text: None, "clr, seed 0"
        )

    def write(self, snapshot: Snapshot) -> None:
        super().write(snapshot)
        self.written += 1
        if self.written == self.last:
            raise KilledError


class Own(FineTuning):
    """A user's method that keeps many things in attributes of its own."""

    def before_training_exp(self, step: Any) -> None:
        self.draws = random.Random(1)
        self.sums: dict[Any, float] = dict.fromkeys(step.trained, 0.0)
        self.history: list[tuple[int, float]] = []
        calls = 0

        def count() -> int:
            nonlocal calls
            calls += 1
            return calls

        self.count = count

    def before_backward(self, step: Any) -> None:
        if len(self.history) == 3:
            self.average = [parameter.detach().clone() for parameter in step.trained]
        if len(self.history) > 3:
            torch._foreach_lerp_(self.average, [parameter.detach() for parameter in step.trained], 0.5)
            step.loss = step.loss + 0.1 * sum(
                (a - p).square().sum() for a, p in zip(self.average, step.trained, strict=True)
            )
        drawn = self.draws.random() + random.random() + np.random.rand() + float(torch.rand(()))
        self.history.append((self.count(), drawn))
        for parameter in self.sums:
            self.sums[parameter] += float(parameter.detach().mean())
        step.loss = step.loss * (1 + 0.1 * drawn + 1e-3 * self.count() + 1e-3 * sum(self.sums.values()))

    def after_training_exp(self, step: Any) -> None:
        self.kept["history"] = torch.tensor([drawn for _, drawn in self.history])


class Dropout(FineTuning):
    """It draws from torch's own random numbers."""

    def forward(self, step: Any) -> torch.Tensor:
        features = torch.nn.functional.dropout(step.model.features(step.images), 0.3)
        return step.model.answer(features)


class Stream(FineTuning):
    """It keeps what nobody can store."""

    def before_training_exp(self, step: Any) -> None:
        self.numbers = iter([1, 2, 3])


@pytest.fixture(autouse=True)
def _own_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "_entries", dict(methods._entries))
    for name, cls in (("own-attributes", Own), ("dropout", Dropout), ("stream", Stream)):
        methods.register(name)(cls)


@pytest.fixture
def begin(make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> Callable[..., Any]:
    """begin(spec) -> learn(checkpoints): learns the second task of a stream in what might be a new process."""

    def make(spec: str, epochs: int = EPOCHS) -> Callable[[CheckpointFile | None], LearnedTask]:
        training = Training(configure(spec).recipe, epochs, 8, ("flip", "crop"))
        cell = make_cell(spec)
        state = learn(cell, start(cell), tiny_tasks[0], training).state

        # As another process gets it: with names in another order, and all values in one piece.
        memory = safetensors.torch.load(safetensors.torch.save(dict(sorted(state.memory.items()))))
        read = replace(state, memory=memory)

        def second(checkpoints: CheckpointFile | None = None) -> LearnedTask:
            random.seed(1)
            np.random.seed(2)
            before = read if checkpoints and checkpoints.path.exists() else state
            return learn(make_cell(spec), before, tiny_tasks[1], training, checkpoints=checkpoints)

        return second

    return make


def assert_same(one: LearnedTask, other: LearnedTask) -> None:
    parts, others = dict(one.state.parts()), dict(other.state.parts())
    assert parts.keys() == others.keys()
    for part, tensors in parts.items():
        assert tensors.keys() == others[part].keys()
        for name, tensor in tensors.items():
            assert tensor.dtype == others[part][name].dtype
            assert torch.equal(tensor, others[part][name]), (part, name)
    assert (one.losses, one.operations, one.steps) == (other.losses, other.operations, other.steps)
    assert one.stopping == other.stopping
    assert len(one.timing.epochs) == len(other.timing.epochs)


@pytest.mark.parametrize("spec", SPECS)
def test_a_killed_task_goes_on_in_its_middle(spec: str, begin: Callable[..., Any], tmp_path: Path) -> None:
    second = begin(spec)
    whole = second()
    # One after each step.
    most, draws = whole.steps, random.Random(spec)
    # In the middle of an epoch, and at the end of one.
    for place, last in enumerate((draws.choice((2, 3, 6, 8)), draws.choice((most // len(whole.losses), most)))):
        folder = tmp_path / f"results/cells/clr/seed-{place}"
        folder.parents[1].mkdir(parents=True, exist_ok=True)
        with pytest.raises(KilledError):
            second(File(folder, last))
        # Another process has drawn other numbers.
        torch.manual_seed(99)
        file = File(folder)
        assert_same(second(file), whole)
        assert file.written == most - last, "nothing is learned twice"
        assert file.said == []


def test_a_task_may_be_killed_again_and_again(begin: Callable[..., Any], tmp_path: Path) -> None:
    second, folder = begin("derpp:fill=during:optimizer=adam"), tmp_path / "seed-0"
    folder.mkdir()
    for _ in range(5):
        with pytest.raises(KilledError):
            second(File(folder, 2))
    assert_same(second(File(folder)), second())


def test_a_checkpoint_changes_nothing(begin: Callable[..., Any], tmp_path: Path) -> None:
    second = begin("clr")
    file = File(tmp_path)
    assert_same(second(file), second())
    assert file.written == 5 * EPOCHS


def test_progress_is_told_for_all_epochs(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], tmp_path: Path
) -> None:
    cell, told = make_cell("sgd"), list[str]()
    training = Training(configure("sgd").recipe, EPOCHS, 8)
    state = learn(cell, start(cell), tiny_tasks[0], training).state
    with pytest.raises(KilledError):
        learn(cell, state, tiny_tasks[1], training, lambda: told.append("first"), File(tmp_path, 7))
    learn(cell, state, tiny_tasks[1], training, lambda: told.append("then"), File(tmp_path))
    assert told == ["first", *["then"] * EPOCHS]


def test_time_between_processes_does_not_count(begin: Callable[..., Any], tmp_path: Path) -> None:
    second = begin("sgd")
    with pytest.raises(KilledError):
        second(File(tmp_path, 7))
    with pytest.MonkeyPatch.context() as patched:
        now = time.perf_counter
        patched.setattr("benchmark.learning.clock.time.perf_counter", lambda: now() + 5000)
        learned = second(File(tmp_path))
    assert 0 < learned.seconds < 5000


def test_a_method_that_cannot_be_stored_says_so_once_and_learns(begin: Callable[..., Any], tmp_path: Path) -> None:
    second, file = begin("stream"), File(tmp_path)
    assert_same(second(file), second())
    (said,) = file.said
    assert said.startswith("clr, seed 0: task 2 goes on without new checkpoints: method.numbers is a list_iterator")
    assert not file.path.exists()


def test_a_checkpoint_of_other_code_does_not_fit(begin: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        begin("si")(File(tmp_path, 2))
    with pytest.raises(CannotResumeError, match="is not the same"):
        begin("ewc")(File(tmp_path))
