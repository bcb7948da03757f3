"""What is built and installed: all that runs need, nothing else, and a command that works outside the checkout."""

from __future__ import annotations

import configparser
import email
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("baselines", "benchmark", "methods")


def build(kind: str, source: Path, out: Path) -> Path:
    """The file that the build backend makes from a source tree, without a network.

    Args:
        kind: "sdist" or "wheel".
    """
    out.mkdir(exist_ok=True)
    code = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(out)], cwd=source, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (made,) = out.iterdir()
    return made


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist of a copy of the files in version control, so that nothing is left in the checkout."""
    place = tmp_path_factory.mktemp("source")
    skipped = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in (*ROOMS, "tests", "performance"):
        shutil.copytree(ROOT / name, place / "copy" / name, ignore=skipped)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "constraints.txt"):
        shutil.copy(ROOT / name, place / "copy" / name)
    return build("sdist", place / "copy", place / "dist")


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist as a packager does it."""
    place = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(place, filter="data")
    (source,) = place.iterdir()
    return build("wheel", source, place / "dist")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with only the wheel; its requirements come from this environment."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(folder)]
    done = subprocess.run([*pip, str(wheel)], capture_output=True, text=True)
    if "No module named pip" in done.stderr:
        pytest.skip("pip is not installed")
    assert done.returncode == 0, done.stderr
    return folder


def test_the_wheel_has_every_file_of_every_room_and_no_other(wheel: Path):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = {
        path.relative_to(ROOT).as_posix()
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == files
    assert {"benchmark/py.typed", "benchmark/backbones/mini/mini.safetensors"} <= names
    assert {"benchmark/report/template/page.html.j2", "benchmark/report/template/page.css"} <= names
    assert {Path(name).parent.as_posix() for name in names if name.endswith(".py")} >= {
        *ROOMS,
        *(f"benchmark/{room}" for room in ("cli", "images", "learning", "planning", "progress", "report", "results")),
        *("benchmark/running/executors", "benchmark/storage", "benchmark/streams/mini", "benchmark/trackers"),
        *("baselines/shared", "baselines/avalanche"),
    }


def test_what_the_wheel_says_of_itself(wheel: Path):
    archive = zipfile.ZipFile(wheel)
    (about,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = email.message_from_bytes(archive.read(about))
    required = metadata.get_all("Requires-Dist") or []
    (avalanche,) = [line for line in required if line.startswith("avalanche-lib")]
    assert avalanche == "avalanche-lib<0.7,>=0.6", "whose hooks with underscores are overridden"
    extras = metadata.get_all("Provides-Extra") or []
    (named,) = [line for line in required if line.startswith("continual-benchmark[")]
    assert named.partition(";")[2].strip() == 'extra == "test"'
    listed = named.partition("[")[2].partition("]")[0].split(",")
    assert set(listed) == set(extras) - {"test"}, "the tests need all other extras"
    assert (metadata["License-Expression"] or metadata["License"]) == "Apache-2.0"
    assert "\n# Continual benchmark\n" in f"\n{metadata.get_payload()}"
    entry_points = configparser.ConfigParser()
    entry_points.read_string(archive.read(about.replace("METADATA", "entry_points.txt")).decode())
    assert dict(entry_points["console_scripts"]) == {"continual-benchmark": "benchmark.__main__:script"}


def test_the_installed_command_runs_outside_the_checkout(installed: Path, tmp_path: Path):
    """It has its own streams, weights, figures and page."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    script = installed / "bin" / "continual-benchmark"

    def say(*arguments: str) -> str:
        done = subprocess.run([script, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert say("--version") == "continual-benchmark 0.1.0\n"
    options = "--methods sgd --tasks 2 --epochs 1 --train-images 20 --test-images 10 --jobs 1 --device cpu --name mine"
    assert "Tables, figures and report.html are in results/mine" in say("run", *options.split())
    run = tmp_path / "results" / "mine"
    assert pd.read_csv(run / "summary.csv")["status"].tolist() == ["succeeded"]
    assert (run / "report.html").read_text().startswith("<!")
    assert (run / "config.toml").is_file()
