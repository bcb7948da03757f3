"""What tests of runs share: a listener to events, and the things that must be equal in two runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from benchmark.progress.events import CellBegan, CellFailed, Event, TaskBegan, Warned
from benchmark.storage.answers import Answers, Reference, answers_path, checksum, pack_answers
from benchmark.storage.folder import RunFolder
from benchmark.storage.inferred import Inferred, write_inferred
from benchmark.storage.labels import TaskLabels, write_labels
from benchmark.storage.records import record_path, write_record

TABLES = ("accuracy", "summary", "parameters", "compute", "efficiency", "tasks", "classes", "ranks", "statistics")


class Listener:
    """Records which cells begin, with how many tasks done, which tasks are learned, which cells fail, and warnings."""

    def __init__(self) -> None:
        self.cells: list[tuple[str, int]] = []
        self.tasks: list[tuple[str, int]] = []
        self.failures: list[tuple[str, str]] = []
        self.warnings: list[str] = []

    def __call__(self, event: Event) -> None:
        match event:
            case CellBegan(name, _, done):
                self.cells.append((name, done))
            case TaskBegan(name, number):
                self.tasks.append((name, number))
            case CellFailed(name, cause):
                self.failures.append((name, cause))
            case Warned(text):
                self.warnings.append(text)


@pytest.fixture(scope="session")
def make_listener() -> type[Listener]:
    return Listener


@pytest.fixture
def quick_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs write their tables, but no figures and no page, which would take longer than all the learning."""
    for name in ("draw_figures", "draw_oracle_gap", "write_page"):
        monkeypatch.setattr(f"benchmark.report.write.{name}", lambda *arguments, **options: None)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """This process computes with one thread, like each of two workers on two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def exact() -> Callable[[Path], dict[str, str]]:
    """exact(folder) -> the text of a run's CSV files, without the columns of seconds and of peak RAM."""

    def read(run: Path) -> dict[str, str]:
        tables = {}
        for name in TABLES:
            frame = pd.read_csv(run / f"{name}.csv", dtype=str)
            dropped = [c for c in frame if c.endswith("_seconds") or c == "peak_memory_bytes"]
            tables[name] = frame.drop(columns=dropped).to_csv(index=False)
        return tables

    return read


@pytest.fixture(scope="session")
def states() -> Callable[[Path], dict[str, Any]]:
    """states(folder) -> the content of each file of a run's cells, without measured seconds and RAM."""

    def read(run: Path) -> dict[str, Any]:
        files = [path for path in (run / "cells").rglob("*") if path.is_file()]
        return {str(path.relative_to(run)): content(path) for path in files}

    def content(path: Path) -> Any:
        if path.suffix != ".json":
            return path.read_bytes()
        # In the order of the file, because the bytes must be the same. "sha256" is the checksum of the other entries.
        entries = json.loads(path.read_bytes()).items()
        measured = ("peak_memory_bytes", "sha256")
        return [(key, value) for key, value in entries if key not in measured and not key.endswith("_seconds")]

    return read


def _record(learned: int, entries: list[dict[str, Any]], content: bytes) -> dict[str, Any]:
    sizes = dict.fromkeys(("shared", "memory", "heads", "replay", "frozen"), 0)
    return {
        "learned": learned,
        "evaluated": entries,
        "answers": checksum(content),
        "evaluations": learned,
        "evaluation_seconds": 0.5,
        "inference_flops_per_image": 12,
        "training_flops": 100,
        "training_seconds": 1.0,
        "peak_memory_bytes": 100,
        "features_cached": False,
        "checksums": {},
        "bytes_before": {**sizes, "task": 40 * (learned - 1)},
        "bytes": {**sizes, "task": 40 * learned},
    }


@dataclass
class AnswersRun:
    """A finished run, written by hand: what its cells answered, and nothing that a network has computed.

    Attributes:
        folder: its folder.
        scenario: of the run.
        truth: the labels of each task of the stream; its classes are named "A0", "A1", ..., "B0", ...
        widths: the number of classes of each task.
        rules: those of task inference.
        orders: by numbers of tasks, from 1.
    """

    folder: Path
    scenario: str
    truth: Sequence[Sequence[int]]
    widths: Sequence[int]
    rules: Sequence[str] = ()
    orders: Sequence[Sequence[int]] = ((1, 2),)
    learned_as: dict[str, str] = field(default_factory=dict)
    _keys: list[tuple[str, int, int]] = field(default_factory=list)

    def cell(
        self,
        key: tuple[str, int, int],
        own: Mapping[str, Sequence[Sequence[Sequence[int]]]],
        guessed: Mapping[str, Sequence[Sequence[Sequence[int]]]] | None = None,
    ) -> Path:
        """Write a cell.

        Args:
            key: method, seed and order.
            own: name of the answers, the own ones first -> after each task the answers to each task so far.
            guessed: rule -> the same; a rule costs 100 times its place in bytes, from 0, and 30 operations.

        Returns:
            Its folder.
        """
        folder = RunFolder(self.folder).cell(*key)
        folder.mkdir(parents=True)
        self._keys.append(key)
        self.learned_as[key[0]] = next(iter(own))
        for learned in range(1, len(self.truth) + 1):
            files = {who: after[learned - 1] for who, after in own.items()}
            given, entries = {}, []
            for place in range(1, learned + 1):
                references = {who: Reference.to_task(place, learned, who) for who in files}
                given |= {references[who]: _sure(files[who][place - 1]) for who in files}
                truth = self.truth[self.orders[key[2]][place - 1] - 1]
                entry = {"task": place, "images": len(truth), "accuracy": -1.0, "fingerprint": "f", "network": "n"}
                if "derived" in files:
                    entry["derived"] = -1.0
                entries.append({**entry, "answers": {who: str(each) for who, each in references.items()}})
            content = pack_answers(given)
            answers_path(folder, learned).write_bytes(content)
            write_record(record_path(folder, learned), _record(learned, entries, content))
            if guessed:
                answers = {
                    (place, rule): _sure(after[learned - 1][place - 1])
                    for rule, after in guessed.items()
                    for place in range(1, learned + 1)
                }
                costs = {rule: {"bytes": 100 * k, "flops_per_image": 30} for k, rule in enumerate(guessed)}
                inferred = Inferred(answers, costs, evaluations=2 * (learned - 1), frozen_evaluations=learned)
                write_inferred(folder, learned, inferred, "key")
        return folder

    def manifest(self, **changes: Any) -> RunFolder:
        """Write the manifest and the right answers of a run of the cells written so far, and return its folder."""
        tasks = [
            {
                "task": number,
                "task_name": f"task {chr(64 + number)}",
                "classes": width,
                "train_images": 90,
                "validation_images": 10,
                "test_images": len(labels),
                "image_size": 32,
                "fingerprint": f"{number:064}",
                "sgd_flops": 50,
                "backbone_inference_flops": 10,
            }
            for number, (width, labels) in enumerate(zip(self.widths, self.truth, strict=True), 1)
        ]
        run, methods = RunFolder(self.folder), list(self.learned_as)
        write_labels(
            self.folder,
            {
                number: TaskLabels(
                    task["task_name"],
                    task["fingerprint"],
                    tuple(f"{chr(64 + number)}{k}" for k in range(task["classes"])),
                    np.array(labels),
                    (),
                )
                for number, (task, labels) in enumerate(zip(tasks, self.truth, strict=True), 1)
            },
        )
        manifest = {
            "status": "succeeded",
            "command": ["run"],
            "settings": {
                "methods": methods,
                "seeds": [],
                "orders": len(self.orders),
                "epochs": 1,
                "scenario": self.scenario,
                "infer": list(self.rules),
            },
            "learned_as": self.learned_as,
            "seeds": sorted({seed for _, seed, _ in self._keys}),
            "orders": [list(order) for order in self.orders],
            "stream": {"spec": "two", "fingerprint": "s" * 64},
            "backbone": {"spec": "mini", "fingerprint": "b" * 64, "parameters": 100, "bytes": 400},
            "bounds": [],
            "reference": "all",
            "tasks": tasks,
            "versions": {},
            "commit": None,
            "hardware": {},
            "started": "2026-01-01T00:00:00+00:00",
            "finished": "2026-01-01T01:00:00+00:00",
            "cells": [
                {"method": method, "seed": seed, "order": order, "status": "succeeded", "cause": None}
                for method, seed, order in self._keys
            ],
        }
        run.write_manifest(manifest | changes)
        return run


def _sure(classes: Sequence[int]) -> Answers:
    return Answers(np.array(classes, dtype=np.int64), np.full(len(classes), 0.75, dtype=np.float32))


@pytest.fixture(scope="session")
def answers_run() -> type[AnswersRun]:
    return AnswersRun


@pytest.fixture
def class_run(tmp_path: Path) -> AnswersRun:
    """Two tasks in the scenario class: `er` has an answer of its own, and `clr` needs a rule.

    The columns of the first task's two classes are 0 and 1, those of the second one's three classes 2, 3 and 4.
    """
    run = AnswersRun(tmp_path / "run", "class", [[0, 1, 1, 0], [0, 1, 2, 2] * 2], [2, 3], ["centres", "energy"])
    run.cell(
        ("er", 0, 0),
        {
            "class": [[[0, 1, 0, 0]], [[0, 2, 1, 2], [2, 3, 4, 0] * 2]],
            "derived": [[[0, 1, 0, 0]], [[0, 0, 1, 0], [2, 3, 4, 4] * 2]],
        },
    )
    run.cell(
        ("clr", 0, 0),
        {"task": [[[0, 1, 1, 0]], [[0, 1, 1, 0], [0, 1, 2, 0] * 2]]},
        {
            "energy": [[[0, 1, 1, 0]], [[0, 1, 1, 0], [2, 3, 4, 2] * 2]],
            "centres": [[[0, 1, 1, 0]], [[0, 1, 3, 2], [2, 3, 4, 1] * 2]],
        },
    )
    return run
