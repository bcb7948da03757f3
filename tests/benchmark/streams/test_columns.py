"""Labels as columns, and whether tasks have the same classes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmark.checks.tiny import make_task
from benchmark.streams.base import Stream, Task
from benchmark.streams.columns import in_columns


def test_labels_of_each_task_begin_after_the_classes_of_the_tasks_before(tiny_tasks: tuple[Task, ...]) -> None:
    stream = Stream("tiny", tiny_tasks)
    assert stream.widths == (3, 2, 4)
    moved = in_columns(stream, "class")
    for first, old, new in zip((0, 3, 5), stream.tasks, moved.tasks, strict=True):
        for part in ("train", "validation", "test"):
            before, after = getattr(old, part), getattr(new, part)
            assert after.labels.tolist() == [first + label for label in before.labels.tolist()]
            assert after.images is before.images
        assert new.classes == old.classes
    # The second and third task have other labels now.
    assert [a.fingerprint == b.fingerprint for a, b in zip(stream.tasks, moved.tasks, strict=True)] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("scenario", ["task", "domain"])
def test_elsewhere_labels_are_classes_of_their_own_task(scenario: str, tiny_tasks: tuple[Task, ...]) -> None:
    stream = Stream("tiny", tiny_tasks)
    assert in_columns(stream, scenario) is stream


def test_images_with_other_labels_are_still_those_of_their_file(tiny_tasks: tuple[Task, ...]) -> None:
    data = tiny_tasks[0].train
    store = object()
    object.__setattr__(data, "store", store)
    try:
        moved = data.relabelled(data.labels + 1)
        assert moved.store is store
        assert type(moved) is type(data)
        assert moved.images is data.images
    finally:
        object.__setattr__(data, "store", None)


def test_the_first_difference_between_the_classes_of_tasks() -> None:
    one, two, three = (make_task(number, 3) for number in (1, 2, 3))
    assert Stream("same", (one, two, three)).class_difference == ""
    fewer = make_task(2, 2)
    assert Stream("fewer", (one, fewer, three)).class_difference == "'task-1' has 3 classes and 'task-2' has 2"
    other = replace(three, classes=("class-0", "zebra", "class-2"))
    expected = "class 2 is 'class-1' in 'task-1' and 'zebra' in 'task-3'"
    assert Stream("other", (one, two, other)).class_difference == expected
    turned = replace(two, classes=two.classes[::-1])
    assert Stream("turned", (one, turned)).class_difference.startswith("class 1 is 'class-0' in 'task-1'")
