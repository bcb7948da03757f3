"""Memories of past samples: whose they hold, how many, which stay, and how they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from baselines.derpp import DERpp
from baselines.shared.memory import Memory, balanced_step
from benchmark.config import Settings
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from benchmark.planning.estimate import StreamShape, estimate
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods import MemorySize, Method, Samples

CPU = torch.device("cpu")
every = pytest.mark.parametrize("name", ["er", "er-ace", "derpp", "agem"])


@pytest.mark.parametrize("name", ["er", "derpp"])
def test_a_memory_that_is_filled_in_each_step_holds_images_as_they_were_given(
    name: str, make_cell: Callable[..., Cell], states: Callable[..., list[State]], tiny_tasks: tuple[Task, ...]
) -> None:
    """They are changed at random when they are drawn: if they were stored so, they would be changed twice."""
    cell = make_cell(f"{name}:memory=30:fill=during")
    how = Training(cell.make_method().recipe, epochs=2, batch_size=8, augment=("flip", "crop"))
    *_, state = states(cell, tiny_tasks, how)
    given = {image.numpy().tobytes() for task in tiny_tasks for image in task.train.images}
    assert len(state.memory["replay.images"]) == 30
    assert {image.numpy().tobytes() for image in state.memory["replay.images"]} <= given


@every
def test_memory_holds_images_of_the_past_tasks(
    name: str, make_cell: Callable[..., Cell], states: Callable[..., list[State]], tiny_tasks: tuple[Task, ...]
) -> None:
    *_, state = states(make_cell(name, memory=MemorySize(images=30)), tiny_tasks)
    images, labels, tasks = (state.memory[f"replay.{part}"] for part in ("images", "labels", "tasks"))
    assert images.shape == (30, 3, 8, 8)
    assert set(tasks.tolist()) == {1, 2, 3}
    for image, label, number in zip(images, labels, tasks, strict=True):
        train = tiny_tasks[number - 1].train
        same = (train.images == image).flatten(1).all(1)
        assert train.labels[same].tolist() == [label]
    assert state.memory["seen"] == 3 * 40


@every
def test_a_memory_of_one_image_that_no_new_one_may_enter(
    name: str, make_cell: Callable[..., Cell], states: Callable[..., list[State]], tiny_tasks: tuple[Task, ...]
) -> None:
    stored = set()
    for seed in range(8):
        *_, state = states(make_cell(name, seed=seed, memory=MemorySize(images=1)), tiny_tasks[:2])
        stored.add(state.memory["replay.tasks"].item())
    assert stored == {1, 2}


@pytest.mark.parametrize(
    ("name", "sizes", "counts"),
    [
        # 192 bytes of pixels and 4 of label and task; derpp's logits are as many as the widest head has, 3, 3 and 4.
        ("er", [196, 196, 196], [31, 31, 31]),
        ("derpp", [208, 208, 212], [30, 30, 29]),
    ],
)
def test_memory_in_bytes(
    name: str,
    sizes: list[int],
    counts: list[int],
    make_cell: Callable[..., Cell],
    states: Callable[..., list[State]],
    tiny_tasks: tuple[Task, ...],
) -> None:
    found = states(make_cell(name, memory=MemorySize(bytes=30 * 208 + 5)), tiny_tasks)
    assert [state.count_bytes()["replay"] for state in found] == [s * n for s, n in zip(sizes, counts, strict=True)]
    assert [len(state.memory["replay.labels"]) for state in found] == counts


def method_of(task: int, seed: int) -> Method:
    """A method that learns a task and has kept nothing yet."""
    method = Method()
    method.task, method.generator, method.kept = task, torch.Generator().manual_seed(seed), {}
    return method


def numbered(first: int, count: int) -> Samples:
    """Samples whose pixels and label are their number."""
    numbers = torch.arange(first, first + count)
    return Samples(numbers.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2).contiguous(), numbers)


def fill(capacities: Sequence[int] | None, sizes: list[int], seed: int) -> dict[str, Tensor]:
    """What is kept after tasks of these sizes, with this much room after each; None for all that there is."""
    method, seen = method_of(0, seed), 0
    for index, size in enumerate(sizes):
        method.task = index + 1
        room = None if capacities is None else MemorySize(images=capacities[index])
        Memory(method, room).add(numbered(seen, size), CPU)
        seen += size
    return method.kept


@pytest.mark.parametrize("capacities", [[10, 10, 10], [12, 11, 10]])
def test_every_sample_of_the_stream_is_kept_equally_often(capacities: list[int]) -> None:
    """30 samples in three tasks, 10 slots: each must be kept in 1/3 of the draws (chi-squared test)."""
    draws, counts = 3000, torch.zeros(30)
    for seed in range(draws):
        counts[fill(capacities, [12, 3, 15], seed)["replay.labels"].long()] += 1
    assert int(counts.sum()) == 10 * draws
    # What is kept is drawn without replacement, which makes the counts vary less than chisquare expects.
    assert chisquare(counts.numpy()).pvalue > 0.001
    assert counts.min() > 0.9 * draws / 3
    assert counts.max() < 1.1 * draws / 3


def test_pairs_are_kept_equally_often() -> None:
    """Two samples of six are kept: each of the 15 pairs, within a task or across tasks, in 1/15 of the draws."""
    counts = torch.zeros(6, 6)
    for seed in range(3000):
        first, second = fill([2, 2, 2], [3, 1, 2], seed)["replay.labels"].tolist()
        counts[first, second] += 1
    pairs = counts[counts > 0]
    assert len(pairs) == 15
    assert chisquare(pairs.numpy()).pvalue > 0.001


def test_image_label_and_task_stay_together() -> None:
    kept = fill([50, 50, 50], [100, 20, 60], seed=0)
    labels = kept["replay.labels"].long()
    assert torch.equal(kept["replay.images"][:, 0, 0, 0].long(), labels)
    assert torch.equal(kept["replay.tasks"].long(), 1 + (labels >= 100).long() + (labels >= 120).long())
    assert len(labels.unique()) == 50


def test_everything_is_kept_while_there_is_room() -> None:
    for memory in ([50, 50], None):
        kept = fill(memory, [7, 8], seed=0)
        assert torch.equal(kept["replay.labels"].long(), torch.arange(15))


def test_is_stored_as_bytes() -> None:
    kept = fill([50], [100], seed=0)
    assert kept["replay.images"].dtype == torch.uint8
    assert sum(kept[f"replay.{part}"].nbytes for part in ("images", "labels", "tasks")) == 50 * (3 * 2 * 2 + 4)


def test_draws_are_uniform_with_replacement() -> None:
    memory = Memory(method_of(1, seed=1), MemorySize(images=5))
    memory.method.kept = fill([5], [5], seed=0)
    samples = memory.draw(SimpleNamespace(augment_replay=lambda images: images, device=CPU), 20_000)
    assert samples.keys() == {"images", "labels", "tasks"}
    assert torch.equal(samples["images"][:, 0, 0, 0].long(), samples["labels"].long())
    assert chisquare(torch.bincount(samples["labels"], minlength=5).numpy()).pvalue > 0.001


def test_replayed_samples_pass_with_the_minibatch_in_the_loops_memory_layout() -> None:
    method = DERpp()
    method.task = 6
    method.generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    numbers = torch.arange(1, 6, dtype=torch.int16)
    method.kept = {"replay.images": images, "replay.labels": numbers, "replay.tasks": numbers, "seen": torch.tensor(9)}

    def own(features: torch.Tensor, tasks: torch.Tensor) -> torch.Tensor:
        assert features.is_contiguous(memory_format=torch.channels_last)
        return torch.stack([tasks, features.double().mean((1, 2, 3))], 1)

    network = SimpleNamespace(features=lambda x: x, heads=SimpleNamespace(own=own), classes=1)
    batch = torch.zeros(7, 3, 4, 4, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(7)
    own_logits = method.forward(
        SimpleNamespace(
            model=network, images=batch, labels=labels, augment_replay=lambda images: 255 - images, device=CPU
        )
    )
    assert own_logits.tolist() == [[6.0]] * 7, "through the task's own head, as many logits as it has classes"
    drawn = method.replayed["labels"]
    assert len(drawn) == len(method.answers) == 14
    assert torch.equal(method.answers[:, 0], drawn.double())
    torch.testing.assert_close(method.answers[:, 1], 255 - images.double().mean((1, 2, 3))[drawn - 1])


@pytest.mark.parametrize(
    ("stored", "new", "capacity", "counts"),
    [
        ([0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1], 6, [[3, 3]]),
        ([0, 0, 0, 0], [1, 1, 2], 6, [[3, 2, 1]]),
        ([0, 0, 1, 1], [2, 2], 4, [[2, 1, 1], [1, 2, 1], [1, 1, 2]]),
        ([], [0, 0, 1], 9, [[2, 1]]),
        ([0, 1, 2], [3, 4], 2, None),
    ],
)
def test_a_balanced_memory_has_as_many_of_each_class_as_possible(
    stored: list[int], new: list[int], capacity: int, counts: list[list[int]] | None
) -> None:
    before, added = (torch.tensor(part, dtype=torch.int64) for part in (stored, new))
    found = []
    for seed in range(40):
        stay, enter = balanced_step(before, added, capacity, torch.Generator().manual_seed(seed))
        assert torch.equal(stay, stay.unique())
        assert torch.equal(enter, enter.unique())
        found.append(torch.cat([before[stay], added[enter]]).bincount(minlength=5).tolist())
        assert sum(found[-1]) == min(capacity, len(stored) + len(new))
    if counts is not None:
        assert {tuple(one) for one in found} == {(*one, *[0] * (5 - len(one))) for one in counts}
    else:
        assert len({tuple(one) for one in found}) > 5, "which classes have one is left to chance"


def test_every_sample_of_a_class_is_as_likely_to_stay() -> None:
    """Of 8 of class 0 and 2 of class 1, 4 have room: 2 of each class, each of the first in 1/4 of the draws."""
    counts = torch.zeros(8)
    for seed in range(2000):
        stay, _ = balanced_step(torch.tensor([0] * 8), torch.tensor([1, 1]), 4, torch.Generator().manual_seed(seed))
        counts[stay] += 1
    assert int(counts.sum()) == 2 * 2000
    assert chisquare(counts.numpy()).pvalue > 0.001


def test_a_balanced_memory_in_a_method(
    make_cell: Callable[..., Cell], states: Callable[..., list[State]], tiny_tasks: tuple[Task, ...]
) -> None:
    """Tasks of 3, 2 and 4 classes and 18 places: 6, then 3 or 4, then 2 images of each class, costs included."""
    for state, of_each in zip(states(make_cell("gdumb:memory=18"), tiny_tasks), ({6}, {3, 4}, {2}), strict=True):
        tasks, labels = (state.memory[f"replay.{name}"].tolist() for name in ("tasks", "labels"))
        classes = list(zip(tasks, labels, strict=True))
        assert {classes.count(one) for one in classes} == of_each
        assert len(set(classes)) == sum(len(task.classes) for task in tiny_tasks[: state.learned])
    settings, shape = Settings(methods=("gdumb:memory=18",), epochs=1), StreamShape(3, 3, 20, 32)
    parameters, compute = estimate(settings, shape)
    assert parameters["replay_bytes"].item() == 18 * (3 * 32 * 32 + 4)
    assert compute["training_flops"].item() > 0


@pytest.mark.parametrize("name", ["er", "er-ace", "derpp", "agem", "joint", "gdumb"])
def test_stored_samples_are_handed_on_without_a_copy(
    name: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `learn` gets is what a method finds in `kept`, and what it leaves there is the state; nothing is changed."""
    options = {} if name == "joint" else {"memory": MemorySize(images=30)}
    cell = make_cell(name, **options)
    state, how = start(cell), Training(cell.make_method().recipe, epochs=1, batch_size=8)
    seen: list[tuple[Method, dict[str, Tensor]]] = []
    add = Memory.add

    def look(memory: Memory, *args: Any, **kwargs: Any) -> None:
        seen.append((memory.method, dict(memory.method.kept)))
        add(memory, *args, **kwargs)

    monkeypatch.setattr(Memory, "add", look)
    for task in tiny_tasks:
        given = {part: rows for part, rows in state.memory.items() if part.startswith("replay.")}
        copies = {part: rows.clone() for part, rows in given.items()}
        state = learn(cell, state, task, how).state
        method, found = seen[-1]
        # derpp widens its logits, which then are others.
        assert all(found[part] is rows for part, rows in given.items() if part != "replay.logits")
        assert all(torch.equal(rows, copies[part]) for part, rows in given.items())
        left = {part: rows for part, rows in method.kept.items() if part.startswith("replay.")}
        assert left.keys() >= {"replay.images", "replay.labels", "replay.tasks"}
        assert all(state.memory[part] is rows for part, rows in left.items())
