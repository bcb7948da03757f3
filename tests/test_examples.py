"""The package in examples/ is installed as its README says, adds its three names, and learns with them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
LESS = "--tasks 2 --epochs 1 --train-images 40 --test-images 40 --jobs 1 --name a"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the package was installed, without the network."""
    # In another folder, because the build writes next to its source.
    source = shutil.copytree(ROOT / "examples" / "my-lab", tmp_path_factory.mktemp("source") / "my-lab")
    target = tmp_path_factory.mktemp("installed")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", target, source], check=True)
    return target


def announce(folder: Path, package: str, points: str) -> None:
    """Write into `folder` what an installed package with these entry points leaves there."""
    metadata = folder / f"{package}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(points)


@pytest.fixture
def benchmark(tmp_path: Path, installed: Path):
    """benchmark(arguments, *folders): the command in another process that also finds packages in the folders."""

    def run(arguments: str, *folders: Path) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(map(str, (*folders, installed, ROOT)))
        command = [sys.executable, "-m", "benchmark", *arguments.split()]
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


@pytest.mark.parametrize(
    ("command", "name"), [("methods", "mean-imm"), ("streams", "gratings"), ("backbones", "gabor")]
)
def test_what_it_adds_is_listed(command, name, benchmark):
    listed = benchmark(command)
    assert listed.stderr == ""
    lines = [line.split(maxsplit=1) for line in listed.stdout.splitlines()]
    assert [name, "from the installed package my_lab"] in lines


def test_it_learns(benchmark, tmp_path):
    """The README's command, shortened."""
    readme = (ROOT / "examples" / "my-lab" / "README.md").read_text()
    (command,) = [line for line in readme.splitlines() if line.startswith("python -m benchmark run ")]
    result = benchmark(f"{command.removeprefix('python -m benchmark ')} {LESS}")
    assert result.returncode == 0, result.stderr
    summary = pd.read_csv(tmp_path / "results" / "a" / "summary.csv")
    assert summary["method"].tolist() == ["sgd", "mean-imm", "mean-imm:share=0.3"]
    assert summary["average_accuracy"].between(0, 1).all()


def test_a_broken_package_does_not_stop_the_others(benchmark, tmp_path):
    broken = tmp_path / "broken"
    points = "[continual_benchmark.methods]\nclr = theirs:CLR\ntheirs = no_such_module:Theirs\nodd = ?!\n"
    announce(broken, "theirs", points)
    listed = benchmark("methods", broken)
    assert listed.returncode == 0
    assert listed.stderr == (
        "warning: method 'clr' is already defined by methods.clr:CLR; theirs:CLR needs another name, and is left out\n"
    )
    assert [line.split()[0] for line in listed.stdout.splitlines()].count("clr") == 1
    used = benchmark("methods theirs", broken)
    assert used.returncode == 2
    assert used.stderr.splitlines()[1:] == [
        "error: method 'theirs' cannot be loaded from no_such_module:Theirs: "
        "ModuleNotFoundError: No module named 'no_such_module'"
    ]
