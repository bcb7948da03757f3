"""Which folders of a task are which split, and which are refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmark.streams.folder import FolderStream, find_tasks
from benchmark.streams.source import RawTask
from methods.errors import UserError


@pytest.fixture
def layout(tmp_path, write_images):
    """layout("train/cat", "test/cat", ...): a task t that holds so many images in each folder, by default 3."""

    def write(*folders: str, images: int = 3) -> Path:
        for folder in folders:
            write_images(tmp_path / "t" / folder, images)
        return tmp_path

    return write


def read(folder: Path) -> RawTask:
    (task,) = FolderStream(str(folder)).raw_tasks(None)
    return task


def refused(folder: Path) -> str:
    with pytest.raises(UserError) as refusal:
        read(folder)
    message = str(refusal.value)
    assert message.startswith(str(folder / "t"))
    assert "\n" not in message
    return message


def sizes(task: RawTask) -> list[int | None]:
    """Of train, validation and test."""
    return [source and len(source.labels) for source in (task.train, task.validation, task.test)]


@pytest.mark.parametrize("wrapper", ["", "wrapper/", "data/set/", "Training/"])
@pytest.mark.parametrize("pack", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("Train", "Val", "Test"),
        ("TRAIN", "VALID", "TEST"),
        ("training", "validation", "testing"),
        ("Training", "Validation", "Testing"),
        ("train", "valid", "test"),
    ],
)
def test_splits_by_other_names(layout, zipped, wrapper, pack, train, validation, test):
    folder = layout(*(f"{wrapper}{split}/{name}" for split in (train, validation, test) for name in ("cat", "dog")))
    shutil.rmtree(folder / "t" / wrapper / validation / "dog")
    if pack:
        zipped(folder / "t")
    task = read(folder)
    assert task.classes == ("cat", "dog")
    assert sizes(task) == [6, 3, 6]
    assert list(task.validation.labels) == [0, 0, 0]
    assert task.notes == ()


def test_labels_of_validation_images_are_those_of_training(layout):
    task = read(layout("train/ant", "train/bee", "train/cow", "val/cow", "val/bee", images=1))
    assert list(task.validation.labels) == [1, 2]
    assert [Path(task.validation.describe(i)).parts[-2] for i in (0, 1)] == ["bee", "cow"]


def test_a_test_set_that_is_split_off_beside_a_validation_split_is_told(layout):
    task = read(layout("train/cat", "train/dog", "valid/cat", "valid/dog"))
    assert sizes(task) == [6, 6, None]
    assert task.notes == (
        "task 't' has a folder valid and no folder test: it is used for validation, and the test images are split off "
        "the training images",
    )


def test_training_images_alone_are_nothing_to_tell(layout):
    assert read(layout("Train/cat", "Train/dog")).notes == ()


@pytest.mark.parametrize(
    ("folders", "says"),
    [
        (["train/a", "Train/b", "test/a"], "has the folders 'Train' and 'train', which are both the train split"),
        (["train/a", "training/a"], "'train' and 'training', which are both the train split"),
        (["train/a", "val/a", "valid/a"], "'val' and 'valid', which are both the validation split"),
        (["train/a", "test/a", "Testing/a"], "'Testing' and 'test', which are both the test split"),
        (["test/a", "test/b"], "has a folder test but no folder train"),
        (["valid/a", "invalid/a"], "has a folder valid but no folder train; .*if valid is a class"),
        (
            ["train/a", "train/b", "val/a", "val/c"],
            "train and validation need the same classes, but 'c' is only in vali",
        ),
        (["train/a", "train/b", "test/a"], "train and test need the same classes, but 'b' is only in train"),
        (
            ["train/a", "train/b", "test/a", "test/b", "extra/a"],
            "has the folder 'extra' beside 'test' and 'train', w",
        ),
        (["train/a", "train/b", "tset"], "has the folder 'tset' beside 'train', which no split is called"),
        (
            ["train", "bus", "car"],
            "has the folders 'bus' and 'car' beside 'train', .*put it into train if it is a class",
        ),
        (["train/a", "train/b", "test"], "the folder test has no class folders"),
        (["train/a", "train/b", "val"], "the folder val has no class folders; it needs val/<class>/, as train has"),
        (["seg_train/a", "seg_train/b", "seg_test/a", "seg_test/b"], "'seg_test' and 'seg_train', which look like spl"),
        (["TrainSet/a", "TestSet/a"], "which look like splits"),
        (["training_set/a", "test_set/a", "more/a"], "which look like splits"),
        (["train2017/a", "val2017/a"], "which look like splits"),
        (["cat/train", "cat/test", "dog/train", "dog/test"], "has the folders 'test' and 'train' inside 'cat'"),
        (["birds/train/a", "birds/test/a", "cars/train/a"], "has the folders 'test' and 'train' inside 'birds'"),
        (["one/train/a", "one/train/b", "two/test/a", "two/test/b"], "'one/train' and 'two/test', which look like sp"),
        (["train/x/a", "train/x/test/a", "train/x/train/a", "test/x/a"], "inside 'train/x'"),
    ],
)
def test_what_is_not_understood_is_refused(layout, folders, says):
    with pytest.raises(UserError, match=says):
        read(layout(*folders))
    refused(layout())


def test_classes_may_be_called_like_splits_inside_train(layout):
    task = read(layout("train/train", "train/plane", "test/train", "test/plane"))
    assert task.classes == ("plane", "train")


@pytest.mark.parametrize("classes", [("train station", "airport"), ("latest", "retrained"), ("valley", "contest")])
def test_classes_that_look_like_no_splits(layout, classes):
    assert read(layout(*classes)).classes == tuple(sorted(classes))


def test_a_class_may_have_one_folder_that_is_called_like_a_split(layout):
    assert read(layout("vehicle/bus", "vehicle/train", "plane")).classes == ("plane", "vehicle")


def test_a_folder_without_images_beside_the_splits_is_left_out(layout):
    folder = layout("train/cat", "train/dog", "test/cat", "test/dog")
    (folder / "t" / "annotations").mkdir()
    (folder / "t" / "annotations" / "boxes.json").write_text("{}")
    task = read(folder)
    assert sizes(task) == [6, None, 6]
    assert task.notes == ("task 't' leaves out 1 other file (annotations/boxes.json)",)


def test_a_folder_of_unread_images_beside_the_splits_is_refused(layout):
    folder = layout("train/cat", "train/dog")
    (folder / "t" / "tset").mkdir()
    (folder / "t" / "tset" / "x.heic").write_bytes(b"")
    assert "has the folder 'tset' beside 'train'" in refused(folder)


@pytest.mark.parametrize("name", ["train", "Train", "training"])
def test_a_task_is_no_stream(layout, name):
    folder = layout(f"{name}/cat", "Test/cat")
    with pytest.raises(UserError, match="is a task itself, as it has a folder "):
        find_tasks(folder / "t", "folder")


def test_test_and_validation_are_no_tasks(layout):
    with pytest.raises(UserError, match="is a task itself, as it has a folder test"):
        find_tasks(layout("test/cat", "val/cat") / "t", "folder")


@pytest.mark.parametrize("name", ["Training", "valid", "test"])
def test_a_task_may_be_called_like_a_split(tmp_path, write_task, name):
    write_task(tmp_path / name)
    assert read(tmp_path).name == name
