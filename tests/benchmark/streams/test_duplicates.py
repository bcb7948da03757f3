"""Images that are in two splits of a task are told."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.images.labelled import LabelledImages
from benchmark.images.source import ArrayImages
from benchmark.images.store import store_folder
from benchmark.streams import duplicates
from benchmark.streams.build import build_stream
from benchmark.streams.duplicates import image_digests


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def task(tmp_path):
    """A folder with one task, t: 10 training and 4 test images in each of two classes, all of them different."""
    random = np.random.RandomState(0)
    for split, count in (("train", 10), ("test", 4)):
        for name in ("cat", "dog"):
            write(tmp_path / "t" / split / name, random.randint(0, 256, (count, 8, 8, 3)))
    return tmp_path / "t"


def write(folder, pixels):
    folder.mkdir(parents=True)
    for number, image in enumerate(pixels):
        Image.fromarray(image.astype(np.uint8)).save(folder / f"{number}.png")


def told(folder, **options) -> list[str]:
    warned: list[str] = []
    build_stream(f"folder:{folder}", image_size=8, warn=warned.append, **options)
    return warned


def test_a_task_without_duplicates_tells_nothing(task):
    assert told(task.parent) == []


@pytest.mark.parametrize("pack", [False, True], ids=["folder", "zip"])
def test_test_images_that_are_training_images_are_told_on_every_start(task, zipped, pack):
    # Ten training images of a class, one of which validation takes: both count.
    for number in range(3):
        shutil.copy(task / "train" / "dog" / f"{number}.png", task / "test" / "dog" / f"{number}.png")
    place = task
    if pack:
        zipped(task)
        place = task.with_suffix(".zip")
    for _ in range(2):
        (line,) = told(task.parent)
        assert line.startswith(
            "task 't': 3 of its 8 test images have the same pixels as training or validation images ("
        )
        test, train = line[line.index("(") + 1 : -1].split(" and ")
        assert test.startswith(f"{place}/test/dog/")
        assert train == test.replace("/test/", "/train/")


def test_every_training_image_counts_be_it_held_out_for_validation(task):
    for name in ("cat", "dog"):
        for number in range(10):
            shutil.copy(task / "train" / name / f"{number}.png", task / "test" / name / f"copy{number}.png")
    assert "20 of its 28 test images" in told(task.parent)[0]


def test_the_same_pixels_in_another_format_and_class_are_the_same(task):
    with Image.open(task / "train" / "dog" / "5.png") as image:
        image.save(task / "test" / "cat" / "x.bmp")
    (line,) = told(task.parent)
    assert line == (
        "task 't': 1 of its 9 test images has the same pixels as training or validation images "
        f"({task}/test/cat/x.bmp and {task}/train/dog/5.png)"
    )


def test_what_the_made_test_split_repeats_is_told_too(task):
    shutil.rmtree(task / "test")
    for name in ("cat", "dog"):
        for number in range(10):
            shutil.copy(task / "train" / name / f"{number}.png", task / "train" / name / f"copy{number}.png")
    (line,) = told(task.parent)
    assert "of its 8 test images have the same pixels" in line


def test_a_given_validation_split_that_repeats_training_images_is_told(task):
    shutil.copytree(task / "train" / "cat", task / "val" / "cat")
    (line,) = told(task.parent)
    assert line.startswith("task 't': 10 of its 10 validation images have the same pixels as training images (")
    assert told(task.parent, tuning=True) == [line]


@pytest.fixture
def other(tmp_path, task):
    """Another task, u, of as many images, none of which is in t."""
    random = np.random.RandomState(9)
    for split, count in (("train", 10), ("test", 4)):
        for name in ("red", "blue"):
            write(tmp_path / "u" / split / name, random.randint(0, 256, (count, 8, 8, 3)))
    return tmp_path / "u"


def test_what_one_task_tests_and_another_learns_is_told_apart(task, other):
    assert told(task.parent) == []
    for number in range(3):
        shutil.copy(task / "train" / "dog" / f"{number}.png", other / "test" / "red" / f"dog{number}.png")
    shutil.copy(other / "train" / "red" / "7.png", task / "test" / "cat" / "red.png")
    for _ in range(2):
        (line,) = told(task.parent)
        assert line == (
            "test images with the same pixels as training or validation images of another task: 1 of 9 of 't', "
            f"3 of 11 of 'u' ({task}/test/cat/red.png of 't' and {other}/train/red/7.png of 'u')"
        )
    assert told(task.parent, tasks=1) == []
    assert told(task.parent, tuning=True) == []


def test_an_image_that_its_own_task_and_another_learn_is_told_in_both_ways(task, other):
    shutil.copy(task / "train" / "dog" / "0.png", task / "test" / "dog" / "x.png")
    shutil.copy(task / "train" / "dog" / "0.png", other / "train" / "red" / "x.png")
    own, across = told(task.parent)
    assert own.startswith("task 't': 1 of its 9 test images has the same pixels as training or validation images (")
    assert across.endswith(
        f"another task: 1 of 9 of 't' ({task}/test/dog/x.png of 't' and {other}/train/red/x.png of 'u')"
    )


def test_what_two_tasks_test_and_two_tasks_learn_is_no_leak(task, other):
    shutil.copy(task / "train" / "dog" / "0.png", other / "train" / "red" / "x.png")
    shutil.copy(task / "test" / "dog" / "0.png", other / "test" / "red" / "x.png")
    assert told(task.parent) == []


def test_at_most_three_tasks_are_named(tmp_path):
    shared = np.random.RandomState(3).randint(0, 256, (1, 8, 8, 3))
    random = np.random.RandomState(4)
    for name in "abcde":
        for split, count in (("train", 4), ("test", 2)):
            for label in ("one", "two"):
                mixed = random.randint(0, 256, (count, 8, 8, 3))
                if (name, label) == ("a", "one") or (name != "a" and split == "test" and label == "two"):
                    mixed[0] = shared[0] if split == "train" or name != "a" else mixed[0]
                write(tmp_path / name / split / label, mixed)
    (line,) = told(tmp_path)
    assert "another task: 1 of 4 of 'b', 1 of 4 of 'c', 1 of 4 of 'd', 1 more (" in line


def test_the_embedded_stream_has_no_image_twice_across_its_splits():
    warned: list[str] = []
    build_stream("mini", tasks=2, train_images=100, test_images=60, warn=warned.append)
    assert warned == []


def test_duplicates_within_a_split_are_none(task):
    for split in ("train", "test"):
        shutil.copy(task / split / "cat" / "0.png", task / split / "dog" / "copy.png")
    (line,) = told(task.parent) or [""]
    # A training image and its copy may be on both sides of the validation split, which nothing is learned from.
    assert "test images" not in line


def test_digests_are_kept_beside_the_store_and_computed_again_if_they_are_damaged(task, monkeypatch):
    shutil.copy(task / "train" / "dog" / "0.png", task / "test" / "dog" / "0.png")
    (line,) = told(task.parent)
    kept = sorted(store_folder().glob("*/digests"))
    assert len(kept) == 3
    before = [file.read_bytes() for file in kept]
    computed = []
    original = duplicates._computed
    monkeypatch.setattr(duplicates, "_computed", lambda data: computed.append(data) or original(data))
    assert told(task.parent) == [line]
    assert computed == []
    kept[0].write_bytes(before[0][:-1] + bytes([before[0][-1] ^ 1]))
    kept[1].write_bytes(b"")
    kept[2].unlink()
    assert told(task.parent) == [line]
    assert len(computed) == 3
    assert [file.read_bytes() for file in kept] == before


def test_images_that_are_in_no_store_have_digests_too():
    pixels = np.random.RandomState(1).randint(0, 256, (600, 4, 4, 3)).astype(np.uint8)
    pixels[599] = pixels[3]
    digests = image_digests(LabelledImages.from_pixels(pixels, torch.zeros(600, dtype=torch.int64)))
    assert digests.shape == (600,)
    assert len(set(digests.tolist())) == 599
    assert digests[599] == digests[3]


def test_images_without_files_are_called_by_their_number():
    source = ArrayImages(np.zeros((2, 8, 8, 3), dtype=np.uint8), [0, 0])
    assert source.describe(1) == "image 1"
