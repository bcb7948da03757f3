"""Files that are not used are told: how many, and why."""

from __future__ import annotations

import tarfile
import warnings
import zipfile
from dataclasses import replace

import pytest
from PIL import Image

from benchmark.cli.main import main
from benchmark.images.formats import known
from benchmark.streams import image_tree
from benchmark.streams.build import build_stream
from benchmark.streams.folder import FolderStream
from benchmark.streams.skill53 import Skill53Stream


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def task(tmp_path, write_task):
    """A folder with one task, t, of two classes with three training images and one test image."""
    write_task(tmp_path / "t", train=3, test=1)
    return tmp_path / "t"


def notes(folder) -> list[str]:
    """What reading the folder of tasks tells."""
    stream = FolderStream(str(folder))
    tasks = stream.raw_tasks(None)
    return [*stream.notes, *(note for task in tasks for note in task.notes)]


def test_nothing_is_told_where_everything_is_used(task):
    assert notes(task.parent) == []


def test_hidden_files_and_those_of_systems_are_no_matter(task):
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._0.png", ".hidden.heic"):
        (task.parent / name).write_bytes(b"x")
        (task / "train" / "cat" / name).write_bytes(b"x")
    assert notes(task.parent) == []


@pytest.mark.parametrize("extension", ["jxl", "svg", "tga", "dng", "cr2", "NEF", "dcm"])
def test_images_of_other_formats_are_told_with_their_class(task, extension):
    for number in range(2):
        (task / "train" / "cat" / f"phone{number}.{extension}").write_bytes(b"x")
    (task / "test" / "dog" / f"phone.{extension}").write_bytes(b"x")
    assert notes(task.parent) == [
        f"task 't' leaves out 3 images of a format that is not read (3 .{extension.lower()}, as test/dog/phone."
        f"{extension}); class 'cat' loses 2 of 5 training images, class 'dog' loses 1 of 2 test images"
    ]


@pytest.mark.parametrize("extension", ["heic", "HEIC", "hif"])
def test_images_that_a_package_would_read_are_told_with_its_name(task, extension, monkeypatch):
    kept = tuple(end for end in image_tree.EXTENSIONS if end not in (".heic", ".heif", ".hif"))
    monkeypatch.setattr(image_tree, "EXTENSIONS", kept)
    missing = [replace(one, needs='pip install ".[heif]"' if one.name == "HEIF" else "") for one in known._FORMATS]
    monkeypatch.setattr(known, "_FORMATS", missing)
    (task / "train" / "cat" / f"phone.{extension}").write_bytes(b"x")
    assert notes(task.parent) == [
        f"task 't' leaves out 1 image of a format that is not read (1 .{extension.lower()}, as train/cat/phone."
        f"{extension}; HEIF is read after: pip install \".[heif]\"); class 'cat' loses 1 of 4 training images"
    ]


@pytest.mark.parametrize("extension", ["jfif", "JPE", "jp2", "avif", "mpo"])
def test_images_of_formats_that_pillow_reads_are_used(task, extension):
    if f".{extension.lower()}" not in image_tree.EXTENSIONS:
        pytest.skip("this Pillow does not read them")
    kind = {"jp2": "JPEG2000", "avif": "AVIF"}.get(extension, "JPEG")
    Image.new("RGB", (9, 9), (200, 0, 0)).save(task / "train" / "cat" / f"photo.{extension}", kind)
    assert notes(task.parent) == []
    (built,) = build_stream(f"folder:{task.parent}", image_size=8).tasks
    assert len(built.train) + len(built.validation) == 7


def test_a_file_without_extension_may_be_an_image(task):
    (task / "train" / "cat" / "0001").write_bytes(b"x")
    (task / "LICENSE").write_bytes(b"x")
    assert notes(task.parent) == [
        "task 't' leaves out 1 image of a format that is not read (1 without extension, as train/cat/0001) and 1 other "
        "file (LICENSE); class 'cat' loses 1 of 4 training images"
    ]


def test_loose_images_are_told(task, write_images):
    for place in ("train/stray.png", "test/stray.png", "stray.jpg"):
        (task / place).write_bytes(b"x")
    assert notes(task.parent) == [
        "task 't' leaves out 3 images outside of the class folders (stray.jpg, test/stray.png, train/stray.png)"
    ]


def test_loose_images_beside_class_folders_alone_are_told(tmp_path, write_images):
    for name in ("cat", "dog"):
        write_images(tmp_path / "t" / name, 3)
    (tmp_path / "t" / "stray.png").write_bytes(b"x")
    assert notes(tmp_path) == ["task 't' leaves out 1 image outside of the class folders (stray.png)"]


def test_files_outside_of_the_one_folder_around_everything_are_told(tmp_path, write_task, zipped):
    write_task(tmp_path / "t" / "inner", train=3, test=1)
    (tmp_path / "t" / "stray.png").write_bytes(b"x")
    (tmp_path / "t" / "README.txt").write_bytes(b"x")
    zipped(tmp_path / "t")
    assert notes(tmp_path) == [
        "task 't' leaves out 1 image outside of the class folders (stray.png) and 1 other file (README.txt)"
    ]


def test_many_files_are_told_in_one_line(task):
    for name in ("cat", "dog"):
        for number in range(40):
            (task / "train" / name / f"{number}.xml").write_bytes(b"x")
    assert notes(task.parent) == [
        "task 't' leaves out 80 other files (train/cat/0.xml, train/cat/1.xml, train/cat/10.xml, 77 more)"
    ]


def test_what_is_no_task_is_told(task):
    with tarfile.open(task.parent / "third.tar.gz", "w:gz") as archive:
        archive.add(task, "third")
    (task.parent / "fourth.7z").write_bytes(b"x")
    (task.parent / "README.md").write_bytes(b"x")
    assert notes(task.parent) == [
        f"folder:{task.parent} leaves out fourth.7z, third.tar.gz (a task is a folder or a zip: unpack or convert what "
        "is to be one) and 1 other file (README.md)"
    ]


@pytest.mark.parametrize("same", [True, False])
def test_an_image_that_is_twice_in_a_zip_is_told_and_the_last_one_counts(tmp_path, write_task, zipped, same):
    write_task(tmp_path / "t", train=3, test=1)
    with zipfile.ZipFile(zipped(tmp_path / "t"), "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        archive.writestr("train/cat/000.png", archive.read(f"train/cat/00{0 if same else 2}.png"))
    differ = "none" if same else "1"
    assert notes(tmp_path) == [
        f"task 't' has 1 file several times in its archive, {differ} of them with other content, and the last of each "
        "is used (train/cat/000.png)"
    ]
    (task,) = FolderStream(str(tmp_path)).raw_tasks(None)
    assert len(task.train.labels) == 6
    assert task.train.read(0).getpixel((0, 0)) == (0 if same else 2, 0, 0)


def test_one_name_written_in_two_ways_is_twice_in_a_zip(tmp_path, write_task, zipped):
    write_task(tmp_path / "t", train=3, test=1)
    with zipfile.ZipFile(zipped(tmp_path / "t"), "a") as archive:
        archive.writestr("./train//cat/000.png", archive.read("train/cat/001.png"))
    assert "1 of them with other content" in notes(tmp_path)[0]


def test_control_characters_of_files_do_not_reach_the_line(task):
    (task / "train" / "a\x1b]0;title\x07.txt").write_bytes(b"x")
    assert notes(task.parent) == [r"task 't' leaves out 1 other file (train/a\x1b]0;title\x07.txt)"]


def test_trees_of_skill53_are_told_too(tmp_path, write_task):
    write_task(tmp_path / "scenes", train=3, test=1)
    write_task(tmp_path / "photos", train=3, test=1)
    (tmp_path / "scenes" / "train" / "cat" / "x.dng").write_bytes(b"x")
    (tmp_path / "birds.rar").write_bytes(b"x")
    stream = Skill53Stream(str(tmp_path), partial=True)
    (task,) = stream.raw_tasks(None)
    assert list(stream.notes) == [
        f"skill53:{tmp_path} leaves out photos: no task of skill53 is called so",
        f"skill53:{tmp_path} leaves out birds.rar (a task is a folder or a zip: unpack or convert what is to be one)",
    ]
    assert task.notes[0].endswith("class 'cat' loses 1 of 4 training images")


def test_it_is_told_on_every_start_and_apart_from_what_only_shows_progress(task):
    (task / "train" / "stray.png").write_bytes(b"x")
    for _ in range(2):
        said, warned = [], []
        build_stream(f"folder:{task.parent}", image_size=8, progress=said.append, warn=warned.append)
        assert sum("stray.png" in line for line in warned) == 1
        assert not any("stray.png" in line for line in said)


@pytest.mark.parametrize("command", ["run --methods sgd", "tune --methods sgd --budget 1 --out tuned.json"])
def test_without_a_terminal_it_is_read_too_and_before_the_class_is_refused_that_lost_its_images(
    task, capsys, monkeypatch, command
):
    monkeypatch.chdir(task.parent)
    for path in (task / "train" / "cat").iterdir():
        path.rename(path.with_suffix(".dng"))
    assert main([*command.split(), "--stream", f"folder:{task.parent}"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("warning: task 't' leaves out 3 images of a format that is not read (3 .dng, as ")
    assert first.endswith("class 'cat' loses 3 of 3 training images")
    assert "class 'cat' has no training images" in second
