"""The CLR article's stream, on small archives in its authors' layout and on image trees."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from benchmark.streams import streams
from benchmark.streams.build import build_stream
from benchmark.streams.image_tree import FolderTree, TreeImages
from benchmark.streams.skill53 import DATABASE, IMAGES, Skill53Stream, reduced
from benchmark.streams.skill53_list import TASKS
from benchmark.streams.source import RawTask
from methods.errors import UserError


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def task_of(classes: int, train: int, test: int, name: str = "task") -> RawTask:
    """A task of so many images a class, none of which is on the disk."""

    def images(each: int) -> TreeImages:
        paths = [f"{label}/{number}.png" for label in range(classes) for number in range(each)]
        return TreeImages(FolderTree(Path("nowhere"), paths), paths, np.repeat(np.arange(classes), each).tolist())

    return RawTask(name, tuple(f"c{label}" for label in range(classes)), images(train), images(test))


def counts(task: RawTask) -> tuple[int, int, int]:
    assert task.test is not None
    return len(task.classes), len(task.train.labels), len(task.test.labels)


def test_the_list_is_the_published_one():
    assert len(TASKS) == len({number for number, _ in TASKS}) == len({name for _, name in TASKS}) == 53
    assert TASKS[0] == (1, "scenes")
    assert TASKS[36:38] == ((105, "CLEVR_v1.0"), (20, "CelebA"))
    assert TASKS[-1] == (107, "deepvp_shell")


def test_the_documentation_has_the_list():
    text = (Path(__file__).parents[3] / "docs" / "paper.md").read_text().replace("\\_", "_")
    paragraph = next(part for part in text.split("\n\n") if part.startswith("scenes, "))
    assert " ".join(paragraph.split()) == ", ".join(name for _, name in TASKS)


@pytest.mark.parametrize(
    ("classes", "train", "test"),
    # Published counts of tasks whose classes all have enough images: birds, Food-101, polish-craft-beer-labels, scenes,
    # NWPU-RESISC45, ilab80m-shell, garbage_classification, EuroSAT, HistAerial, CLEVR_v1.0, OriSet, concrete-crack.
    [
        (200, 5200, 600),
        (101, 5151, 505),
        (100, 5100, 500),
        (67, 5092, 536),
        (45, 2565, 270),
        (15, 2565, 255),
        (12, 2556, 252),
        (10, 2560, 260),
        (7, 2562, 259),
        (8, 2560, 256),
        (3, 2559, 255),
        (2, 2560, 256),
        # The rule's two edges, by hand: 5120 / 60 = 85.3, 2560 / 59 = 43.4, 512 / 60 = 8.5 (to even), 256 / 59 = 4.3.
        (60, 60 * 85, 60 * 9),
        (59, 59 * 43, 59 * 4),
    ],
)
def test_the_rule_gives_the_published_counts(classes, train, test):
    assert counts(reduced(task_of(classes, 1300, 140))) == (classes, train, test)


def test_of_many_classes_the_first_300_are_used():
    task = reduced(task_of(310, 30, 5))
    # 5120 / 300 = 17.07 and 512 / 300 = 1.7.
    assert counts(task) == (300, 300 * 17, 300 * 2)
    assert task.classes[-1] == "c299"
    assert max(task.train.labels) == 299


def test_small_classes_give_all_they_have():
    assert counts(reduced(task_of(10, 7, 2))) == (10, 70, 20)


def chosen(task: RawTask) -> list[str]:
    assert isinstance(task.train, TreeImages)
    return task.train.paths


def test_the_choice_depends_on_the_name_alone():
    first, again, other = (chosen(reduced(task_of(2, 3000, 3, name))) for name in ("a", "a", "b"))
    assert first == again
    assert first != other
    assert len(set(first)) == 2560
    # A random half would share about as many as it differs in; the first ones of each class would not.
    assert 0.3 < np.mean([int(path[2:-4]) >= 1280 for path in first]) < 0.7


@pytest.fixture
def archive(tmp_path, write_images):
    """archive((number, {class: (train, validation, test images)}), ...): a folder in the authors' layout."""

    def write(*data_sets: tuple[int, dict[int, tuple[int, int, int]]], skip: int = 0) -> Path:
        database = tmp_path / DATABASE
        database.parent.mkdir()
        with sqlite3.connect(database) as connection:
            connection.execute("CREATE TABLE datasets (dataset_id INTEGER, dataset_name TEXT, good INTEGER)")
            connection.execute(
                'CREATE TABLE files (dataset_id INTEGER, "set" INTEGER, class_id INTEGER, hash TEXT, path TEXT, '
                "filename TEXT, problem INTEGER)"
            )
            for number, classes in data_sets:
                connection.execute("INSERT INTO datasets VALUES (?, ?, 1)", (number, f"set_{number}"))
                for label, splits in classes.items():
                    write_images(tmp_path / IMAGES / f"set_{number}" / "all" / str(label), sum(splits))
                    split_of = np.repeat(range(3), splits).tolist()
                    for file, split in enumerate(split_of):
                        problem = int(file < skip)
                        row = (number, split, label, "x", f"/all/{label}/", f"{file:03}.png", problem)
                        connection.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return tmp_path

    return write


def test_it_is_known_by_its_name():
    assert streams.get("skill53") is Skill53Stream


def test_the_authors_layout(archive):
    folder = archive((20, {5: (4, 2, 9), 9: (3, 1, 9)}), (1, {30: (6, 2, 1), 40: (5, 3, 1), 50: (4, 1, 1)}))
    stream = build_stream(f"skill53:{folder}:partial=true", image_size=8)
    assert [task.name for task in stream.tasks] == ["scenes", "CelebA"]
    scenes, celeba = stream.tasks
    assert scenes.classes == ("30", "40", "50")
    assert len(scenes.train) + len(scenes.validation) == 15
    assert scenes.test.labels.tolist() == [0, 0, 1, 1, 1, 2]
    # An image's colour is its number in the folder: after four training images two of validation come.
    assert celeba.test.images[:, 0, 0, 0].tolist() == [4, 5, 3]


def test_files_with_a_problem_are_left_out(archive):
    folder = archive((1, {0: (4, 2, 0), 1: (5, 2, 0)}), skip=1)
    (task,) = Skill53Stream(str(folder), partial=True).raw_tasks(None)
    assert counts(task) == (2, 3 + 4, 4)


def test_the_first_tasks_are_enough_for_a_run_of_the_first(archive):
    folder = archive(*((number, {0: (4, 2, 0), 1: (5, 2, 0)}) for number, _ in TASKS[:2]))
    assert [task.name for task in Skill53Stream(str(folder)).raw_tasks(2)] == ["scenes", "birds"]


def test_test_images_of_classes_without_training_images_are_left_out(archive):
    folder = archive((1, {0: (4, 2, 0), 1: (5, 2, 0), 2: (0, 3, 0)}))
    (task,) = Skill53Stream(str(folder), partial=True).raw_tasks(None)
    assert counts(task) == (2, 9, 4)
    assert task.notes == ("task 'scenes' leaves out 3 test images of classes that have no training images",)


def refusal(spec: str, **options) -> str:
    with pytest.raises(UserError) as caught:
        build_stream(spec, image_size=8, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_tasks_are_named(archive):
    folder = archive((1, {0: (4, 2, 0), 1: (5, 2, 0)}))
    assert refusal(f"skill53:{folder}", tasks=3) == (
        f"{folder} lacks 2 of 3 tasks of skill53: add a row in {DATABASE} and a folder in {IMAGES}/ for birds, "
        f"wikiart, or take the others with skill53:{folder}:partial=true"
    )
    assert refusal(f"skill53:{folder}").startswith(f"{folder} lacks 52 of 53 tasks of skill53: ")


def test_a_data_set_without_its_folder_is_missing(archive):
    folder = archive(*((number, {0: (4, 2, 0), 1: (5, 2, 0)}) for number, _ in TASKS[:2]))
    (folder / IMAGES / "set_2").rename(folder / IMAGES / "elsewhere")
    assert "lacks 1 of 2 tasks" in refusal(f"skill53:{folder}", tasks=2)


def test_a_file_that_is_gone_is_named(archive):
    folder = archive((1, {0: (4, 2, 0), 1: (5, 2, 0)}))
    gone = folder / IMAGES / "set_1" / "all" / "0" / "002.png"
    gone.unlink()
    assert refusal(f"skill53:{folder}:partial=true").startswith(f"{gone} cannot be read")


@pytest.mark.parametrize("path", ["/../../../", "/../../other/"])
def test_a_database_cannot_point_outside(archive, path):
    folder = archive((1, {0: (4, 2, 0), 1: (5, 2, 0)}))
    with sqlite3.connect(folder / DATABASE) as connection:
        connection.execute("UPDATE files SET path = ?", (path,))
    assert "which is outside of" in refusal(f"skill53:{folder}:partial=true")


@pytest.mark.parametrize("content", [b"", b"no database at all"])
def test_a_database_of_something_else_is_refused(tmp_path, content):
    (tmp_path / DATABASE).parent.mkdir()
    (tmp_path / DATABASE).write_bytes(content)
    assert refusal(f"skill53:{tmp_path}").startswith(f"{tmp_path / DATABASE} is not the database of skill53 (")


def test_a_database_without_splits_is_refused(archive):
    folder = archive((1, {0: (4, 2, 0), 1: (5, 2, 0)}))
    with sqlite3.connect(folder / DATABASE) as connection:
        connection.execute('ALTER TABLE files RENAME COLUMN "set" TO split')
    assert "is not the database of skill53 (no such column: set" in refusal(f"skill53:{folder}:partial=true")


def test_trees_and_zips_come_in_the_published_order(tmp_path, write_task, zipped):
    for name in ("celeba", "scenes", "Oct-2017"):
        write_task(tmp_path / name, train=3, test=1)
    zipped(tmp_path / "celeba")
    stream = build_stream(f"skill53:{tmp_path}:partial=true", image_size=8)
    assert [task.name for task in stream.tasks] == ["scenes", "OCT2017", "CelebA"]
    assert stream.tasks[0].classes == ("cat", "dog")


def test_trees_are_reduced_too(tmp_path, write_task):
    write_task(tmp_path / "scenes", classes=[f"c{number:03}" for number in range(100)], train=2, test=6)
    (task,) = Skill53Stream(str(tmp_path), partial=True).raw_tasks(None)
    assert counts(task) == (100, 200, 500)


def test_a_validation_folder_of_a_tree_is_used_and_reduced_like_its_test_folder(tmp_path, write_task, write_images):
    write_task(tmp_path / "scenes", train=200, test=1)
    for name in ("cat", "dog"):
        write_images(tmp_path / "scenes" / "val" / name, 150)
    (task,) = Skill53Stream(str(tmp_path), partial=True).raw_tasks(None)
    assert task.validation is not None
    assert np.bincount(task.validation.labels).tolist() == [128, 128]


def test_what_is_missing_among_trees_is_named(tmp_path, write_task):
    write_task(tmp_path / "birds", train=3, test=1)
    assert refusal(f"skill53:{tmp_path}", tasks=2) == (
        f"{tmp_path} lacks 1 of 2 tasks of skill53: add a folder or zip with train/<class>/ and test/<class>/ "
        f"for scenes, or take the others with skill53:{tmp_path}:partial=true"
    )


def test_what_is_called_like_no_task_is_named(tmp_path, write_task):
    for name in ("bird", "birds", "Food"):
        write_task(tmp_path / name, train=3, test=1)
    assert refusal(f"skill53:{tmp_path}", tasks=2).endswith(f"{tmp_path}:partial=true; Food, bird are none of them")


def test_none_of_the_tasks_is_not_a_part(tmp_path, write_task):
    write_task(tmp_path / "photos", train=3, test=1)
    message = refusal(f"skill53:{tmp_path}:partial=true")
    assert message.startswith(f"{tmp_path} lacks 53 of 53 tasks of skill53: add a folder or zip with train/<class>/")
    assert message.endswith(f"for {', '.join(name for _, name in TASKS)}; photos is none of them")


def test_a_tree_without_test_images_is_refused(tmp_path, write_task):
    write_task(tmp_path / "scenes", train=3, test=None)
    assert refusal(f"skill53:{tmp_path}:partial=true").startswith(f"{tmp_path / 'scenes'} has no folder test; ")


def test_a_folder_that_is_not_there_is_named(tmp_path):
    assert refusal(f"skill53:{tmp_path / 'x'}").startswith(
        f"there is no folder {tmp_path / 'x'}; skill53:DIR needs one"
    )
