"""What Weights & Biases is given, without its service."""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("wandb")

from wandb.proto.wandb_internal_pb2 import Record

from benchmark.progress.events import TaskBegan
from benchmark.trackers.curves import Curves, open_tracker

CLR = ("clr", 0, 0)


@pytest.fixture(autouse=True)
def _nobody_is_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("CONFIG", "CACHE", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / name))


def records(file: Path) -> list[Record]:
    """The content of a run's file: a log in LevelDB's format behind a header of seven bytes."""
    data, found, parts, place = file.read_bytes(), [], b"", 7
    while place + 7 <= len(data):
        # What is left of a block of 32 KiB may be too little for the next header.
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
        length, kind = struct.unpack("<HB", data[place + 4 : place + 7])
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        # A whole record, or the last part of one.
        if kind in (1, 4):
            found.append(Record.FromString(parts))
            parts = b""
    return found


def results_of(folder: Path, name: str) -> list[Any]:
    """The artifacts of results in a run's file, which the library's own process may write after we are done."""
    for _ in range(600):
        (file,) = folder.glob(f"wandb/offline-run-*/{name}")
        found = [record.artifact for record in records(file) if record.artifact.type == "results"]
        if found:
            return found
        time.sleep(0.1)
    return []


def track(learning: Any) -> Curves:
    tracker = open_tracker("wandb", learning.run, learning.manifest)
    return Curves(tracker, learning.run, learning.manifest, complain=pytest.fail)


def test_curves_go_on_without_double_points_and_leave_the_machine_alone(learning: Any) -> None:
    learning.learn(CLR, 1)
    interrupted = track(learning)
    interrupted.handle(TaskBegan("clr, seed 0", 2, "sign: digits"))
    interrupted.close()
    (before,) = learning.run.path.glob("wandb/offline-run-*/run-*.wandb")
    learning.learn(CLR, 2)
    learning.end()
    again = track(learning)
    again.publish(learning.results)
    again.close()

    files = {file.name: records(file) for file in learning.run.path.glob("wandb/offline-run-*/run-*.wandb")}
    assert len(files) == 2, "the cell's, and that of the tables"
    cell = files[before.name]
    (run,) = (record.run for record in cell if record.HasField("run"))
    assert (run.display_name, run.run_group, run.project) == ("clr, seed 0", "mine", "continual-benchmark")
    history = [
        {"/".join(item.nested_key) or item.key: item.value_json for item in record.history.item}
        for record in cell
        if record.HasField("history")
    ]
    assert [(row["epoch"], row["loss"]) for row in history if "loss" in row] == [
        *(("1", "1.5"), ("2", "1.25"), ("3", "0.5"), ("4", "0.25"))
    ]
    learned = [(row["tasks_learned"], row["average_accuracy"]) for row in history if "average_accuracy" in row]
    assert learned == [("1", "0.375"), ("2", "0.625")]
    assert [row["accuracy/1 fungi"] for row in history if "accuracy/1 fungi" in row] == ["0.375", "0.5"]
    (report,) = files.keys() - {before.name}
    (artifact,) = results_of(learning.run.path, report)
    assert {entry.path for entry in artifact.manifest.contents} >= {"summary.csv", "figures/average_accuracy.png"}


def test_only_who_says_so_sends_anything(learning: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    class Run:
        summary = {"tasks_learned": 1}

        def define_metric(self, *arguments: Any, **options: Any) -> None: ...

    def init(**options: Any) -> Run:
        asked.append(options)
        return Run()

    monkeypatch.setattr("wandb.init", init)
    learning.learn(CLR, 1)
    track(learning).catch_up()
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    track(learning).catch_up()
    assert [(options["mode"], options["resume"]) for options in asked] == [("offline", None), (None, "allow")]
    assert asked[0]["id"] == asked[1]["id"]
