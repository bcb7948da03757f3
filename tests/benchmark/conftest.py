"""What tests of runs share: a listener to events, and the things that must be equal in two runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from benchmark.progress.events import CellBegan, CellFailed, Event, TaskBegan, Warned

TABLES = ("accuracy", "summary", "parameters", "compute", "tasks", "classes", "ranks", "statistics")


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
    for name in ("draw_figures", "write_page"):
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
