"""A run folder that fills as if cells were learned, and what a tracker is told of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from benchmark.results.run import Results, results_of
from benchmark.results.schema import ACCURACY_COLUMNS, COMPUTE_COLUMNS, PARAMETER_COLUMNS, TASK_COLUMNS
from benchmark.storage.folder import RunFolder
from benchmark.storage.manifest import Manifest
from benchmark.storage.records import CellKey
from benchmark.trackers.base import Lesson

TASK_NAMES = ("fungi", "sign: digits")


@dataclass(frozen=True)
class Learning:
    """A run of two cells and two tasks, of two epochs each."""

    run: RunFolder

    @property
    def manifest(self) -> Manifest:
        cells = [{"method": method, "seed": 0, "order": 0, "status": "succeeded"} for method in ("clr", "er:memory=10")]
        settings = {"methods": ["clr", "er:memory=10"], "seeds": [0], "orders": 1, "epochs": 2, "stream": "tiny"}
        tasks = [{"task": number, "task_name": name} for number, name in enumerate(TASK_NAMES, 1)]
        began = "2026-01-02T03:04:05+00:00"
        return Manifest(
            settings=settings,
            orders=[[1, 2]],
            tasks=[dict.fromkeys(TASK_COLUMNS, 0) | task for task in tasks],
            cells=cells,
            started=began,
            reference="clr",
            bounds=[],
        )

    @property
    def results(self) -> Results:
        """Those of a run whose only table with numbers is the summary."""
        frames = (
            pd.DataFrame(columns=list(columns))
            for columns in ([*ACCURACY_COLUMNS, "order"], PARAMETER_COLUMNS, COMPUTE_COLUMNS)
        )
        found = results_of(self.run.path, self.manifest, *frames)
        return replace(found, summary=found.summary.assign(average_accuracy=[0.5, 0.25]))

    def learn(self, key: CellKey, number: int) -> None:
        """Leave what a cell measured of its next task: losses 1.5, 1.25, then 0.5, 0.25; accuracies in eighths."""
        folder = self.run.cell(*key)
        folder.mkdir(parents=True, exist_ok=True)
        record = {
            "learned": number,
            "task_name": TASK_NAMES[number - 1],
            "losses": [2.5 - number, 2.25 - number],
            "evaluated": [{"task": task, "accuracy": (number + 2 * task) / 8} for task in range(1, number + 1)],
        }
        (folder / f"after-{number}.json").write_text(json.dumps(record))

    def end(self) -> None:
        """Leave tables and figures."""
        (self.run.path / "summary.csv").write_text("method,average_accuracy\nclr,0.5\n")
        (self.run.path / "summary.md").write_text("| Method |\n")
        (self.run.path / "figures").mkdir()
        Image.new("RGB", (4, 3)).save(self.run.path / "figures" / "average_accuracy.png")


CLR: CellKey = ("clr", 0, 0)
ER: CellKey = ("er:memory=10", 0, 0)


@pytest.fixture
def learning(tmp_path: Path) -> Learning:
    (tmp_path / "mine").mkdir()
    return Learning(RunFolder(tmp_path / "mine"))


@dataclass
class Recorder:
    """A tracker that remembers."""

    knows: int = 0
    lessons: list[tuple[str, Lesson]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def known(self, cell: str) -> int:
        return self.knows

    def add(self, cell: str, lesson: Lesson) -> None:
        self.lessons.append((cell, lesson))

    def finish(self, cell: str) -> None:
        self.calls.append(f"finish {cell}")

    def publish(self, results: Results) -> None:
        self.calls.append("publish")

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()
