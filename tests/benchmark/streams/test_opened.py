"""One line about each task that is opened: what it has, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from benchmark.cli.main import main
from benchmark.images.decode import Reading
from benchmark.streams.build import build_stream


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def tasks(tmp_path, write_task):
    """Two tasks: one of which nothing is left out, and one with much else."""
    write_task(tmp_path / "a", train=10, test=4)
    other = write_task(tmp_path / "b", classes=("cat", "dog", "eel"), train=6, test=None)
    Image.new("RGB", (40, 20)).save(other / "train" / "cat" / "000.png")
    Image.new("RGB", (20, 50)).save(other / "train" / "dog" / "000.png")
    Image.new("RGB", (9, 9)).save(other / "stray.png")
    for name in ("list.txt", "train/cat/about.xml", "train/cat/drawing.svg"):
        (other / name).write_bytes(b"x")
    return tmp_path


def lines(folder, **options) -> list[str]:
    told: list[str] = []
    build_stream(f"folder:{folder}", tell=told.append, **options)
    return told


FIRST = "task 1 of 2, a: 2 classes; 18 training, 2 validation and 8 test images; 8x8 pixels; nothing left out"
SECOND = (
    "task 2 of 2, b: 3 classes; 13 training, 2 validation and 3 test images; 8x8 to 20x50 pixels, squeezed to 8x8; "
    "left out: 1 image of a format that is not read, 1 image outside of the class folders, 2 other files"
)


def test_each_task_is_told_in_one_line(tasks):
    assert lines(tasks, image_size=8) == [FIRST, SECOND]


def test_it_is_told_again_when_nothing_is_decoded_again(tasks):
    first = lines(tasks, image_size=8)
    assert lines(tasks, image_size=8) == first


def test_images_that_were_not_chosen_are_left_out(tasks):
    first, second = lines(tasks, image_size=16, train_images=10, test_images=6, validation=20)
    assert first == (
        "task 1 of 2, a: 2 classes; 8 training, 2 validation and 6 test images; 8x8 pixels, resized to 16x16; "
        "left out: 12 images that are not asked for"
    )
    assert "; left out: 5 images that are not asked for, 1 image of a format that is not read, " in second


def test_cropped_images_are_told_as_cropped(tasks):
    assert " 8x8 to 20x50 pixels, cropped to 8x8; " in lines(tasks, image_size=8, reading=Reading("crop"))[1]


def test_photos_are_told_as_they_look(tmp_path, write_task):
    write_task(tmp_path / "a")
    exif = Image.Exif()
    exif[0x0112] = 6
    for place in (tmp_path / "a").rglob("*.png"):
        Image.new("RGB", (30, 20)).save(place, exif=exif)
    assert "; 20x30 pixels, squeezed to 8x8; " in lines(tmp_path, image_size=8)[0]


def test_images_that_are_decoded_on_every_start_are_told_too(tasks, monkeypatch):
    monkeypatch.setattr("benchmark.streams.image_tree.TreeImages.identity", lambda self, indices: None)
    assert lines(tasks, image_size=8) == [FIRST, SECOND]


def test_a_stream_without_files_is_told(monkeypatch):
    told: list[str] = []
    build_stream("mini", tasks=1, train_images=40, test_images=20, tell=told.append)
    (line,) = told
    assert line.startswith("task 1 of 1, ")
    assert "; 36 training, 4 validation and 20 test images; 32x32 pixels; left out: " in line
    assert line.endswith(" images that are not asked for")


def test_classes_that_are_divided_among_tasks_share_what_is_left_out(tmp_path, write_task):
    write_task(tmp_path / "a", classes=("cat", "dog", "eel", "fox"))
    (tmp_path / "a" / "list.txt").write_bytes(b"x")
    told: list[str] = []
    build_stream(f"split-folder:{tmp_path / 'a'}:tasks=2", image_size=8, tell=told.append)
    assert [line.partition("; left out: ")[2] for line in told] == ["1 other file of all tasks together"] * 2


def test_the_command_prints_the_same_lines_and_learns_nothing(tasks, capsys, monkeypatch):
    monkeypatch.chdir(tasks)
    assert main(["streams", "folder:.", "--image-size", "8"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [FIRST, SECOND]
    assert "warning: task 'b' leaves out 1 image of a format that is not read (1 .svg" in printed.err
    assert not (tasks / "results").exists()


def test_the_command_takes_the_options_that_choose_images(tasks, capsys):
    options = "--tasks 1 --image-size 16 --train-images 10 --test-images 6 --validation 20 --resize crop"
    assert main(["streams", f"folder:{tasks}", *options.split()]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(
        "task 1 of 1, a: 2 classes; 8 training, 2 validation and 6 test images; 8x8 pixels, resized "
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing"], "unknown stream 'nothing'"),
        (["folder:gone"], "there is no folder gone"),
        (["mini:size=3"], "'mini:size=3' has no option 'size'"),
        (["mini", "--tasks", "99"], "--tasks 99: mini has only 8"),
        (["mini", "--grey-range", "5,5"], "--grey-range=5,5 must be LOW,HIGH"),
    ],
)
def test_a_stream_that_cannot_be_opened_is_refused_in_one_sentence(arguments, says, capsys):
    assert main(["streams", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {says}")
    assert printed.err.count("\n") == 1


def test_a_run_tells_them_without_a_terminal(tasks, capsys, monkeypatch):
    monkeypatch.chdir(tasks)
    command = "run --methods linear-probe --stream folder:. --image-size 8 --epochs 1 --jobs 1 --name told"
    assert main(command.split()) == 0
    printed = capsys.readouterr()
    assert [line for line in printed.err.splitlines() if line.startswith("task ")] == [FIRST, SECOND]
    assert "task 1 of 2" not in printed.out


def deep(folder, write_task, factor: int) -> None:
    """Whole numbers from 0 to 255 times `factor` in a PNG of 16 bits."""
    write_task(folder)
    for number, place in enumerate(sorted(folder.rglob("*.png"))):
        values = np.random.RandomState(number).permutation(np.arange(0, 256, 4)).reshape(8, 8)
        Image.fromarray((values * factor).astype(np.uint16)).save(place)


@pytest.mark.parametrize("factor", [1, 16])
def test_a_run_on_pictures_of_unknown_depth_is_refused_and_goes_with_their_range(tmp_path, write_task, capsys, factor):
    deep(tmp_path / "in" / "x-ray", write_task, factor)
    command = ["streams", f"folder:{tmp_path / 'in'}", "--image-size", "8"]
    assert main(command) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"error: {tmp_path / 'in' / 'x-ray' / 'train' / 'cat'}")
    assert ".png has grey values from 0 to " in said
    assert f"for example 0,{256 * factor - 1}, or 0,65535 if the picture is that dark" in said
    assert main([*command, f"--grey-range=0,{256 * factor - 1}"]) == 0
    reading = Reading(grey_range=(0, 256 * factor - 1))
    (task,) = build_stream(f"folder:{tmp_path / 'in'}", image_size=8, reading=reading).tasks
    for part in (task.train, task.validation, task.test):
        assert (part.images.amax(dim=(1, 2, 3)) == 252).all()


def test_a_range_is_part_of_the_key_of_decoded_images(tmp_path, write_task):
    deep(tmp_path / "in" / "x-ray", write_task, 64)
    brightest = {}
    for white in (65535, 16383, 65535):
        reading = Reading(grey_range=(0, white))
        (task,) = build_stream(f"folder:{tmp_path / 'in'}", image_size=8, reading=reading).tasks
        brightest.setdefault(white, set()).add(int(task.train.images.max()))
    assert brightest == {65535: {252 * 64 // 256}, 16383: {252}}


def test_the_range_and_the_resizing_are_kept_with_the_run_and_cannot_change(tmp_path, write_task, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    deep(tmp_path / "in" / "x-ray", write_task, 1)
    line = "run --methods linear-probe --stream folder:in --image-size 8 --epochs 1 --jobs 1 --name one"
    command = line.split()
    assert main([*command, "--grey-range=0,255"]) == 0
    assert main(["run", "--config", "results/one/config.toml", "--name", "two", "--jobs", "1"]) == 0
    one, two = ((tmp_path / "results" / name / "tasks.csv").read_bytes() for name in ("one", "two"))
    assert one == two
    capsys.readouterr()
    assert main([*command, "--grey-range=0,300"]) == 2
    assert "that run exists with --grey-range 0.0,255.0, not 0.0,300.0" in capsys.readouterr().err
    assert main([*command, "--grey-range=0,255", "--resize", "crop"]) == 2
    assert "that run exists with --resize squeeze, not crop" in capsys.readouterr().err
