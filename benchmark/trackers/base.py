"""What a tracker is told about a run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmark.results.run import Results
from benchmark.storage.manifest import Entry, Manifest
from benchmark.storage.records import Records

#: The metric for the mean training loss of an epoch, by epochs since the cell began.
LOSS = "loss"
#: The metric for the average accuracy on the tasks learned so far, by tasks learned.
AVERAGE_ACCURACY = "average_accuracy"


@dataclass(frozen=True)
class Lesson:
    """What a cell measured with a task that it has learned.

    Attributes:
        learned: the tasks learned so far, this one included.
        epochs: the number of each of its epochs, counted from 1 at the cell's beginning.
        losses: the mean training loss of each epoch.
        accuracies: metric -> accuracy: AVERAGE_ACCURACY, and one for each task learned so far.
    """

    learned: int
    epochs: Sequence[int]
    losses: Sequence[float]
    accuracies: dict[str, float]


class Tracker(Protocol):
    """Where the curves and files of a run go. Each cell has its own curves."""

    def known(self, cell: str) -> int:
        """How many lessons of a cell it already has from before the run went on: these are not told again."""

    def add(self, cell: str, lesson: Lesson) -> None:
        """Take the next lesson of a cell."""

    def finish(self, cell: str) -> None:
        """The cell has learned all its tasks."""

    def publish(self, results: Results) -> None:
        """Take the tables and figures of a run, and replace those it may already have."""

    def close(self) -> None:
        """Close the tracker: nothing more comes."""


def lessons(records: Records, tasks: int) -> list[Lesson]:
    """The lessons in the records of a cell, task after task.

    Args:
        records: of the learned tasks.
        tasks: the length of the stream.
    """
    done, result = 0, []
    digits = len(str(tasks))
    names = [record["task_name"] for record in records]
    for record in records:
        evaluated = {
            f"accuracy/{each['task']:0{digits}} {_plain(names[each['task'] - 1])}": each["accuracy"]
            for each in record["evaluated"]
        }
        average = sum(evaluated.values()) / len(evaluated)
        losses = record["losses"]
        epochs = range(done + 1, done + len(losses) + 1)
        result.append(Lesson(record["learned"], epochs, losses, {AVERAGE_ACCURACY: average, **evaluated}))
        done += len(losses)
    return result


def tables_and_figures(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files of a run that a tracker keeps: CSV files, summaries and the page; and the figures as images."""
    tables = sorted(path for path in folder.iterdir() if path.suffix in (".csv", ".md", ".tex", ".html"))
    return tables, sorted(folder.glob("figures/*.png"))


def settings_of(manifest: Manifest, cell: Entry) -> dict[str, Any]:
    """The settings that decide the numbers of one cell of the manifest, for a tracker that shows them."""
    shared = {key: value for key, value in manifest.settings.items() if key not in ("methods", "seeds", "orders")}
    return shared | {key: cell[key] for key in ("method", "seed", "order")}


def _plain(name: str) -> str:
    """A name with only characters that every tracker accepts."""
    return re.sub(r"[^\w.\- ]", "_", name, flags=re.ASCII)
