"""The runner: the same command gives the same bytes, and a killed run that is started again gives them too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from benchmark.cli import main

METHODS = "clr,er,ewc,sgd-ll"
OPTIONS = ["--methods", METHODS, "--tasks", "3", "--train-images", "60", "--test-images", "40", "--epochs", "2"]
FILES = ("accuracy", "summary", "parameters", "compute", "tasks")


def command(out: Path, name: str) -> list[str]:
    return ["run", *OPTIONS, "--out", str(out), "--name", name]


def exact(run: Path) -> dict[str, str]:
    """The CSV files' text, without the columns of seconds and of peak memory."""
    tables = {}
    for name in FILES:
        frame = pd.read_csv(run / f"{name}.csv", dtype=str)
        dropped = [c for c in frame if c.endswith("_seconds") or c == "peak_memory_bytes"]
        tables[name] = frame.drop(columns=dropped).to_csv(index=False)
    return tables


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    assert main(command(out, "straight")) == 0
    return out / "straight"


def test_leaves_every_file_of_the_contract(uninterrupted: Path) -> None:
    names = {path.name for path in uninterrupted.iterdir()}
    csv = {f"{name}.csv" for name in FILES}
    assert names == csv | {"summary.md", "summary.tex", "manifest.json", "figures", "report.html", "cells"}
    figures = ("first_task_accuracy", "average_accuracy", "accuracy_vs_parameters", "accuracy_vs_compute")
    expected = {f"{name}.{kind}" for name in (*figures, "accuracy_matrix") for kind in ("svg", "png")}
    assert {path.name for path in (uninterrupted / "figures").iterdir()} == expected
    assert {path.name for path in (uninterrupted / "cells" / "ewc" / "seed-0").iterdir()} == {
        *(f"after-{k}.json" for k in (1, 2, 3)),
        *(f"task-{t}.safetensors" for t in (1, 2, 3)),
        "shared-3.safetensors",
        "memory-3.safetensors",
    }


def test_the_same_command_gives_the_same_bytes(uninterrupted: Path, tmp_path: Path) -> None:
    assert main(command(tmp_path, "again")) == 0
    assert exact(tmp_path / "again") == exact(uninterrupted)
    for path in uninterrupted.rglob("*.safetensors"):
        assert (tmp_path / "again" / path.relative_to(uninterrupted)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("method", ["clr", "er"])
def test_killed_in_the_middle_of_a_task_and_started_again(uninterrupted: Path, tmp_path: Path, method: str) -> None:
    """SIGKILL while the second task of a method is learned; the first one is not learned again."""
    cell = tmp_path / "killed" / "cells" / method / "seed-0"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([sys.executable, "-m", "benchmark", *command(tmp_path, "killed")], env=environment)
    while not (cell / "after-1.json").exists():
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (cell / "after-3.json").exists(), "killed too late to test anything"
    first = (cell / "after-1.json").stat().st_mtime_ns

    assert main(command(tmp_path, "killed")) == 0
    assert (cell / "after-1.json").stat().st_mtime_ns == first
    assert exact(tmp_path / "killed") == exact(uninterrupted)


def test_another_thing_changes_the_bytes(uninterrupted: Path, tmp_path: Path) -> None:
    assert main([*command(tmp_path, "seed"), "--seeds", "5,"]) == 0
    other = exact(tmp_path / "seed")
    assert other["accuracy"] != exact(uninterrupted)["accuracy"]
    assert other["tasks"] == exact(uninterrupted)["tasks"]
    assert other["parameters"] == exact(uninterrupted)["parameters"]


def test_isolated_tasks_are_evaluated_once(uninterrupted: Path) -> None:
    compute = pd.read_csv(uninterrupted / "compute.csv").set_index("method")["evaluations"]
    assert compute.to_dict() == {"clr": 3, "er": 6, "ewc": 6, "sgd-ll": 6}


def test_what_clr_learned_stays_to_the_last_digit(uninterrupted: Path) -> None:
    accuracy = pd.read_csv(uninterrupted / "accuracy.csv", dtype=str)
    clr = accuracy[accuracy["method"] == "clr"]
    assert (clr.groupby("task")["accuracy"].nunique() == 1).all()
    assert len(clr) == 6
