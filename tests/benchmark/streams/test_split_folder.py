"""One ImageFolder tree whose classes are divided among tasks."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.streams.build import build_stream
from benchmark.streams.split_folder import SplitFolder
from methods.errors import UserError

NAMES = [f"bird {number}" for number in range(6)]


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def birds(tmp_path, write_task):
    return write_task(tmp_path / "birds", classes=NAMES, train=3, test=2)


def classes(*arguments, **options):
    return [list(task.classes) for task in SplitFolder(*arguments, **options).raw_tasks(None)]


def test_classes_are_divided_in_the_order_of_their_names(birds):
    tasks = SplitFolder(str(birds), tasks=3).raw_tasks(None)
    assert [task.name for task in tasks] == ["birds-1", "birds-2", "birds-3"]
    assert [task.classes for task in tasks] == [tuple(NAMES[i : i + 2]) for i in (0, 2, 4)]
    assert [(task.train.labels, task.test.labels) for task in tasks] == [([0, 0, 0, 1, 1, 1], [0, 0, 1, 1])] * 3
    assert tasks[2].train.paths[0] == "train/bird 4/000.png"
    assert [task.name for task in SplitFolder(str(birds), tasks=3).raw_tasks(2)] == ["birds-1", "birds-2"]


def test_a_seed_gives_the_order_of_pycil(birds):
    np.random.seed(1993)
    expected = [NAMES[label] for label in np.random.permutation(6)]
    assert [name for own in classes(str(birds), tasks=2, order=1993) for name in own] == expected
    (first, _) = SplitFolder(str(birds), tasks=2, order=1993).raw_tasks(None)
    labelled = dict(zip(first.train.paths, first.train.labels, strict=True))
    assert {labelled[f"train/{name}/000.png"] for name in expected[:3]} == {0, 1, 2}
    assert labelled[f"train/{expected[1]}/000.png"] == 1


def test_the_first_task_may_have_more_classes(birds):
    assert [len(own) for own in classes(str(birds), first=2, increment=4)] == [2, 4]
    assert [len(own) for own in classes(str(birds), increment=3)] == [3, 3]


def test_it_is_a_stream_from_a_folder_or_a_zip(birds, zipped):
    stream = build_stream(f"split-folder:{birds}:tasks=3", image_size=8, validation=0)
    assert [(len(task.train), len(task.test)) for task in stream.tasks] == [(6, 4)] * 3
    packed = build_stream(f"split-folder:{zipped(birds)}:tasks=3", image_size=8, validation=0)
    assert [task.fingerprint for task in packed.tasks] == [task.fingerprint for task in stream.tasks]
    assert [task.name for task in packed.tasks] == ["birds-1", "birds-2", "birds-3"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (":tasks=4", "tasks=4 does not share out 6 classes evenly, two or more to a task; right are 1, 2, 3"),
        ("", "tasks=10 does not share out 6 classes evenly"),
        (":increment=4", "increment=4 does not share out 6 classes evenly"),
        (":tasks=2:increment=3", "tasks=2 and increment=3 exclude each other; give one of them"),
        (":order=-1", "order=-1 must be a whole number from 0 to 4294967295"),
    ],
)
def test_what_cannot_be_divided_is_refused(birds, options, says):
    with pytest.raises(UserError, match=says):
        build_stream(f"split-folder:{birds}{options}")


def test_a_folder_that_is_missing_or_empty_is_refused(tmp_path):
    with pytest.raises(
        UserError, match=r"there is no folder .*nowhere; split-folder:DIR needs one with train/<class>/"
    ):
        build_stream(f"split-folder:{tmp_path / 'nowhere'}")
    with pytest.raises(UserError, match="has no class folders"):
        build_stream(f"split-folder:{tmp_path}")
