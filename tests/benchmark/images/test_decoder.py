"""Decoding by threads and by processes: the same bytes, the same complaints, and nobody left behind."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.images import decoder as module
from benchmark.images.decode import Reading, decode
from benchmark.images.decoder import Decoder
from benchmark.images.formats.sizes import Sizes
from benchmark.images.source import ArrayImages
from benchmark.streams.image_tree import FolderTree, TreeImages, ZipTree
from methods.errors import UserError

COUNT = 40  # more than one chunk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    random = np.random.RandomState(0)
    for number in range(COUNT):
        pixels = random.randint(0, 256, (12, 10, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture
def tree(folder: Path) -> TreeImages:
    found = FolderTree(folder)
    return TreeImages(found, found.images, [0] * COUNT)


@pytest.fixture
def in_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few images are worth processes, and threads are not to be had."""
    monkeypatch.setattr(module, "_FEW", 1)
    monkeypatch.setattr(module, "ThreadPoolExecutor", None)


def decoded(source, indices, path: Path) -> np.ndarray:
    with Decoder() as decoder:
        decoder.to_file(source, indices, 8, path)
    return np.fromfile(path, dtype=np.uint8).reshape(-1, 8, 8, 3)


BACKWARDS = [*range(COUNT - 1, -1, -1), 3, 3]


def test_the_sizes_of_the_images_are_told(tree, folder, tmp_path, in_processes):
    Image.new("RGB", (30, 5)).save(folder / "39.png")
    met = []
    with Decoder() as decoder:
        decoder.to_file(tree, range(COUNT), 8, tmp_path / "file", met=met.append)
        decoder.to_file(tree, [], 8, tmp_path / "empty", met=met.append)
    assert met == [Sizes((10, 12), (30, 5)), None]


def test_threads_tell_the_sizes_too(tree, folder, tmp_path):
    Image.new("RGB", (5, 4)).save(folder / "39.png")
    met = []
    with Decoder() as decoder:
        decoder.to_file(tree, range(COUNT), 8, tmp_path / "file", met=met.append)
        decoder.to_array(tree, range(COUNT), 8, met=met.append)
    assert met == [Sizes((5, 4), (10, 12))] * 2


@pytest.mark.parametrize("processes", [False, True])
def test_what_a_user_says_reaches_each_image(tree, folder, tmp_path, request, processes):
    if processes:
        request.getfixturevalue("in_processes")
    reading = Reading("crop", (0, 255))
    Image.fromarray(np.full((12, 10), 99, dtype=np.uint16)).save(folder / "39.png")
    expected = decode(tree, range(COUNT), 8, reading=reading)
    assert expected[39].max() == 99
    with Decoder() as decoder:
        decoder.to_file(tree, range(COUNT), 8, tmp_path / "file", reading=reading)
        assert (tmp_path / "file").read_bytes() == expected.tobytes()
        if not processes:
            assert np.array_equal(decoder.to_array(tree, range(COUNT), 8, reading=reading), expected)


def test_threads_give_the_same_bytes(tree, tmp_path):
    expected = decode(tree, BACKWARDS, 8)
    assert np.array_equal(decoded(tree, BACKWARDS, tmp_path / "pixels"), expected)
    with Decoder() as decoder:
        assert np.array_equal(decoder.to_array(tree, BACKWARDS, 8), expected)


@pytest.mark.usefixtures("in_processes")
@pytest.mark.parametrize("zipped", [False, True])
def test_processes_give_the_same_bytes(tree, folder, tmp_path, zipped):
    source = tree
    if zipped:
        archive = ZipTree(Path(shutil.make_archive(str(tmp_path / "t"), "zip", folder)))
        source = TreeImages(archive, archive.images, [0] * COUNT)
    assert np.array_equal(decoded(source, BACKWARDS, tmp_path / "pixels"), decode(tree, BACKWARDS, 8))


@pytest.mark.usefixtures("in_processes")
def test_one_set_of_processes_serves_split_after_split(tree, tmp_path):
    with Decoder() as decoder:
        decoder.to_file(tree, range(COUNT), 8, tmp_path / "first")
        processes = decoder._processes
        decoder.to_file(tree, [0], 8, tmp_path / "second")
        assert decoder._processes is processes
    assert (tmp_path / "first").read_bytes()[: 3 * 64] == (tmp_path / "second").read_bytes()


@pytest.mark.usefixtures("in_processes")
def test_a_broken_image_is_named_by_a_process_too(tree, folder, tmp_path):
    (folder / "35.png").write_bytes(b"no image")
    with pytest.raises(UserError) as refusal:
        decoded(tree, range(COUNT), tmp_path / "pixels")
    assert str(refusal.value).startswith(f"{folder / '35.png'} is not an image of a format that is read (")


@pytest.mark.usefixtures("in_processes")
def test_a_process_that_is_killed_is_one_sentence(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "begin_worker", partial(os._exit, 1))
    with pytest.raises(UserError, match="a process that decodes images ended early"):
        decoded(tree, range(COUNT), tmp_path / "pixels")


def test_arrays_and_few_images_start_no_process(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ProcessPoolExecutor", None)
    decoded(tree, range(COUNT), tmp_path / "few")
    monkeypatch.setattr(module, "_FEW", 1)
    array = ArrayImages(np.zeros((50, 8, 8, 3), dtype=np.uint8), [0] * 50)
    assert len(decoded(array, range(50), tmp_path / "array")) == 50


def test_daemons_start_no_process(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_FEW", 1)
    monkeypatch.setattr(module, "ProcessPoolExecutor", None)
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    assert len(decoded(tree, range(COUNT), tmp_path / "pixels")) == COUNT


def test_what_workers_import_does_not_need_torch():
    code = "import sys, benchmark.images.decoder, benchmark.streams.image_tree; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
