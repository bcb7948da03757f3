"""Many tasks where a process may have few files open."""

from __future__ import annotations

import os
import shutil
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.cli.main import main
from benchmark.streams.build import build_stream

resource = pytest.importorskip("resource", reason="this system has no such limit")

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not say what is open")

TASKS = 40


def opened() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def few_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """This process may open 25 files more: fewer than there are tasks."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = set(map(int, os.listdir("/proc/self/fd")))
    free = (number for number in count() if number not in used)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next(islice(free, 25, None)), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of tasks of two classes, whose images differ."""
    folder = tmp_path_factory.mktemp("tasks")
    random = np.random.RandomState(0)
    for task in range(TASKS):
        for split, images in (("train", 3), ("test", 1)):
            for kind in ("dark", "light"):
                place = folder / f"{task:02}" / split / kind
                place.mkdir(parents=True)
                for number in range(images):
                    pixels = random.randint(0, 256, (16, 16, 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(place / f"{number}.png")
    return folder


@pytest.mark.usefixtures("few_descriptors", "quick_report")
def test_a_run_of_many_tasks(tasks: Path, tmp_path: Path):
    options = "run --methods linear-probe --epochs 1 --image-size 16 --device cpu --jobs 1 --name many --out"
    assert main([*options.split(), str(tmp_path), "--stream", f"folder:{tasks}"]) == 0


@pytest.mark.usefixtures("few_descriptors")
def test_zips_are_not_kept_open(tasks: Path, tmp_path: Path):
    zips = tmp_path / "zips"
    zips.mkdir()
    for task in tasks.iterdir():
        shutil.make_archive(str(zips / task.name), "zip", task)
    before = opened()
    streams = [build_stream(f"folder:{zips}", image_size=16) for _ in range(2)]
    # The archive that was read last.
    assert opened() <= before + 1
    assert streams[0].fingerprint == streams[1].fingerprint
    assert streams[0].fingerprint == build_stream(f"folder:{tasks}", image_size=16).fingerprint
