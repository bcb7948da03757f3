"""How far a run is: what is in its folder, whatever is half there, and about how long the rest takes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.checks.tiny import three_tasks
from benchmark.config import Execution, Settings
from benchmark.files import HOLDER
from benchmark.planning.preparation import Prepared
from benchmark.progress.events import Event
from benchmark.results import under_way
from benchmark.results.under_way import UnderWay, Watched
from benchmark.running.executors import cell_learner
from benchmark.running.runner import run
from benchmark.storage.folder import RunFolder
from benchmark.storage.records import record_path, write_record
from benchmark.streams.base import Stream
from methods.configured import configure
from methods.errors import UserError
from methods.network import Network

BEGAN = 1_800_000_000
#: clr, seed 0 is running, and so is er, seed 0.
STATUSES = ("running", "pending", "running", "pending")


class ByHand:
    """A run of clr and er with two seeds on four tasks, which two workers began at `BEGAN`."""

    def __init__(self, folder: Path):
        self.run = RunFolder(folder)
        folder.mkdir()
        self.watched = Watched(self.run)

    def manifest(self, statuses: tuple[str, ...] = STATUSES, workers: int = 2, **changes: Any) -> None:
        started = datetime.fromtimestamp(BEGAN, UTC).isoformat(timespec="seconds")
        keys = [(method, seed) for method in ("clr", "er") for seed in (0, 1)]
        content = {
            "status": "running",
            "settings": {},
            "seeds": [0, 1],
            "orders": [[1, 2, 3, 4]],
            "stream": {"spec": "four", "fingerprint": ""},
            "backbone": {"spec": "tiny", "fingerprint": "", "parameters": 1},
            "tasks": [
                {"task": k, "task_name": f"task {k}", "sgd_flops": 1, "backbone_inference_flops": 1}
                for k in range(1, 5)
            ],
            "started": started,
            "finished": None,
            "processes": [{"started": started, "workers": workers}],
            "cells": [
                {"method": method, "seed": seed, "order": 0, "status": status, "cause": None}
                for (method, seed), status in zip(keys, statuses, strict=True)
            ],
        }
        self.run.write_manifest(content | changes)
        os.utime(self.run.manifest_path, (BEGAN, BEGAN))

    def learn(
        self, accuracies: list[float], seconds: float, ago: float = 0, method: str = "clr", alone: int | None = None
    ) -> Path:
        """Write the record of a task, which the cell of seed 0 learned 100 seconds after the beginning, or before."""
        folder = self.run.cell(method, 0, 0)
        folder.mkdir(parents=True, exist_ok=True)
        learned = alone or len(accuracies)
        first = learned - len(accuracies) + 1
        entries = [{"task": first + k, "images": 9, "accuracy": each} for k, each in enumerate(accuracies)]
        path = folder / f"alone-{alone}.json" if alone else record_path(folder, learned)
        record = {"learned": learned, "evaluated": entries, "bytes": {}, "checksums": {}, "answers": ""}
        write_record(path, record | {"training_seconds": seconds - 1, "evaluation_seconds": 1.0})
        os.utime(path, (BEGAN + 100 - ago, BEGAN + 100 - ago))
        return path

    def look(self) -> UnderWay:
        return self.watched.look(BEGAN + 100)


@pytest.fixture
def by_hand(tmp_path: Path) -> ByHand:
    hand = ByHand(tmp_path / "run")
    (hand.run.path / HOLDER).touch()
    return hand


def test_what_is_learned_and_what_is_left(by_hand: ByHand) -> None:
    by_hand.manifest()
    by_hand.learn([0.5], 10, ago=50)
    by_hand.learn([0.5, 0.25], 14, ago=5)
    view = by_hand.look()
    assert (view.goes_on, view.status, view.title, view.tasks) == (True, "running", "four on tiny", 4)
    assert (view.learned, view.since, view.written) == (2, 100, 5)
    first, second, third, _ = view.cells
    assert (first.name, first.status, first.learned, first.task) == ("clr, seed 0", "running", 2, "task 3")
    assert first.accuracy == 0.375
    assert (second.learned, second.task, second.accuracy) == (0, "", None)
    assert third.task == "task 1"
    # 12 seconds a task; of er nothing is known but this.
    assert [cell.left for cell in view.cells] == [24, 48, 48, 48]
    # Of clr's present task 5 seconds have passed; of er's more than it should take, so nothing of it is left.
    assert view.left == (24 - 5 + 48 + 48 - 12 + 48) / 2


def test_a_method_takes_as_long_as_it_took(by_hand: ByHand) -> None:
    by_hand.manifest(("succeeded", "succeeded", "running", "failed"), workers=1)
    for tasks in range(1, 5):
        by_hand.learn([0.5] * tasks, 2 + tasks, ago=40)
    by_hand.learn([0.5], 30, method="er")
    view = by_hand.look()
    # clr, seed 1 has succeeded, and its records are gone: they would be learned again, in 4.5 seconds each.
    # What failed is not tried again before the run is resumed.
    assert [cell.left for cell in view.cells] == [0, 18, 90, 0]
    assert view.left == 108


def test_larger_tasks_take_longer(by_hand: ByHand) -> None:
    """In the order of the cell: by what plain fine-tuning computes in each of them."""
    by_hand.manifest(("running", "succeeded", "succeeded", "succeeded"), workers=1)
    content = by_hand.run.read_manifest()
    for task, size in zip(content["tasks"], (30, 10, 60, 20), strict=True):
        task["sgd_flops"] = size
    content["orders"] = [[2, 1, 4, 3]]
    by_hand.run.write_manifest(content)
    by_hand.learn([0.5], 7)
    by_hand.learn([0.5, 0.5], 5)
    # 40 units took 12 seconds, and 80 are left.
    assert by_hand.look().cells[0].left == pytest.approx(24)
    assert by_hand.look().cells[0].task == "task 4"


def test_no_run_is_faster_than_its_longest_cell(by_hand: ByHand) -> None:
    by_hand.manifest(workers=99)
    by_hand.learn([0.5], 30, method="er")
    # Each of the cells that have not begun takes 120 seconds.
    assert by_hand.look().left == 120
    by_hand.manifest(("running",) * 4, workers=99)
    # All of these have begun 100 seconds ago, of which the first task takes 30.
    assert by_hand.look().left == 90


def test_tasks_that_are_learned_at_once_may_be_faster(by_hand: ByHand) -> None:
    by_hand.manifest(workers=2)
    content = by_hand.run.read_manifest()
    content["cells"] = content["cells"][2:3]
    by_hand.run.write_manifest(content)
    by_hand.learn([0.5], 30, method="er")
    by_hand.learn([0.5], 30, method="er", alone=3)
    assert by_hand.look().left == 30


def test_tasks_that_were_learned_apart_count(by_hand: ByHand) -> None:
    by_hand.manifest()
    by_hand.learn([0.5], 10)
    by_hand.learn([0.75], 10, alone=4)
    # An earlier process left it behind: the task is in the sequence already.
    by_hand.learn([0.1], 10, alone=1)
    (cell, *_) = by_hand.look().cells
    assert (cell.learned, cell.accuracy, cell.task, cell.left) == (2, 0.625, "", 20)


def test_before_anything_is_learned_the_time_is_not_known(by_hand: ByHand) -> None:
    by_hand.manifest()
    view = by_hand.look()
    assert view.left is None
    assert [cell.left for cell in view.cells] == [None] * 4


def test_what_is_half_written_is_not_there_yet(by_hand: ByHand) -> None:
    by_hand.manifest()
    by_hand.learn([0.5], 10)
    path = by_hand.learn([0.5, 0.5], 10)
    whole = path.read_bytes()
    for torn in (b"", whole[:40], whole.replace(b"0.5", b"0.6"), b"[]", b"\xff"):
        path.write_bytes(torn)
        assert by_hand.look().learned == 1
    path.write_bytes(whole)
    assert by_hand.look().learned == 2
    path.unlink()
    assert by_hand.look().learned == 1


def test_a_record_that_has_not_changed_is_read_once(by_hand: ByHand, monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand.manifest()
    by_hand.learn([0.5], 10)
    assert by_hand.look().learned == 1
    monkeypatch.setattr(under_way, "read_record", pytest.fail)
    assert by_hand.look().learned == 1


def test_a_run_that_is_prepared_has_no_manifest(by_hand: ByHand) -> None:
    view = by_hand.look()
    assert (view.goes_on, view.status, view.title, view.cells) == (True, "", "run", ())


def test_a_run_that_was_interrupted_does_not_go_on(by_hand: ByHand) -> None:
    by_hand.manifest()
    by_hand.learn([0.5], 10, ago=40)
    (by_hand.run.path / HOLDER).unlink()
    view = by_hand.look()
    assert (view.goes_on, view.status, view.since, view.left) == (False, "running", 60, None)


@pytest.mark.parametrize("changes", [{"kept": True}, {"runs": []}])
def test_a_folder_without_cells_is_refused(by_hand: ByHand, changes: dict[str, Any]) -> None:
    by_hand.manifest(**changes)
    with pytest.raises(
        UserError, match=r"^watch: .*run has the tables of runs and not their cells; give the folder of"
    ):
        by_hand.look()


def test_a_run_is_watched_while_it_goes_on(
    tiny_network: Network, tmp_path: Path, quick_report: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each of its events, from the first to the last: nothing is written, and nothing that is there is missed."""

    def unlucky(cell: Any, state: Any, *arguments: Any) -> Any:
        if cell.make_method().name == "slda" and state.learned:
            raise RuntimeError("out of luck")
        return learn(cell, state, *arguments)

    learn: Callable[..., Any] = cell_learner.learn
    monkeypatch.setattr(cell_learner, "learn", unlucky)
    watched, seen, folder = Watched(RunFolder(tmp_path / "run")), [], tmp_path / "run"

    def look(event: Event) -> None:
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        seen.append(watched.look(datetime.now(UTC).timestamp()))
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before

    settings = Settings(methods=("ncm", "slda"), epochs=1, batch_size=8)
    chosen = tuple(configure(text) for text in settings.methods)
    prepared = Prepared(settings, chosen, Stream("tiny", three_tasks()), tiny_network, torch.device("cpu"))
    run(prepared, Execution(jobs=1), folder, [], look)
    assert all(view.goes_on for view in seen)
    learned = [view.learned for view in seen]
    assert learned == sorted(learned)
    last = watched.look(datetime.now(UTC).timestamp())
    assert (last.goes_on, last.status, last.learned) == (False, "failed", 4)
    assert [(cell.status, cell.learned, cell.cause) for cell in last.cells] == [
        ("succeeded", 3, ""),
        ("failed", 1, "RuntimeError: out of luck"),
    ]
    accuracy = json.loads((folder / "cells/ncm/seed-0/after-3.json").read_bytes())["evaluated"]
    assert last.cells[0].accuracy == pytest.approx(sum(entry["accuracy"] for entry in accuracy) / 3)
