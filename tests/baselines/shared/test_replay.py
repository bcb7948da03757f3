"""The memory of the replay methods: whose images it holds, how many, and how they are drawn."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from baselines.shared.replay import JointReplay
from benchmark.learning.learner import Cell
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods.memory import MemorySize

every = pytest.mark.parametrize("name", ["er", "derpp", "agem"])


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
    for seed in range(6):
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


class TwoBatches(JointReplay):
    batches = 2


def test_replay_batches_pass_with_the_minibatch_in_the_loops_memory_layout() -> None:
    method = TwoBatches()
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
        SimpleNamespace(model=network, mb_x=batch, mb_y=labels, augment_replay=lambda images: 255 - images)
    )
    assert own_logits.tolist() == [[6.0]] * 7, "through the task's own head, as many logits as it has classes"
    drawn = method.replayed["labels"]
    assert len(drawn) == len(method.answers) == 14
    assert torch.equal(method.answers[:, 0], drawn.double())
    torch.testing.assert_close(method.answers[:, 1], 255 - images.double().mean((1, 2, 3))[drawn - 1])
