"""The right answers to the test images of a run, kept once for all its cells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmark.files import content_of, write_atomically, writing
from benchmark.storage.json_files import misfit, sealed, unsealed

#: The folder for them, in that of a run.
LABELS = "test-images"

_SHAPE = {"task_name": str, "fingerprint": str, "classes": [str], "labels": [int], "files": [str]}


@dataclass(frozen=True)
class TaskLabels:
    """The test images of a task, in the order in which they are answered.

    Attributes:
        task_name: the task's name.
        fingerprint: the task's fingerprint.
        classes: the names of its classes.
        labels: int64 [N], indices of classes.
        files: the file of each image, relative to the task's folder or archive; empty if there are none.
    """

    task_name: str
    fingerprint: str
    classes: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    files: tuple[str, ...]

    @property
    def images_per_class(self) -> list[int]:
        """The number of images of each class."""
        counts: list[int] = np.bincount(self.labels, minlength=len(self.classes)).tolist()
        return counts


def labels_path(run: Path, task: int) -> Path:
    """The file for a task of a run, by its number in the stream, from 1."""
    return run / LABELS / f"task-{task}.json"


def write_labels(run: Path, tasks: Mapping[int, TaskLabels]) -> None:
    """Write a file for each of these tasks, by their numbers in the stream; what is there, and whole, stays.

    Raises:
        StorageError: one cannot be written.
    """
    with writing(run):
        (run / LABELS).mkdir(exist_ok=True)
    for number, task in tasks.items():
        known = read_labels(run, number)
        if known is None or known.fingerprint != task.fingerprint:
            content = {
                "task_name": task.task_name,
                "fingerprint": task.fingerprint,
                "classes": task.classes,
                "labels": task.labels.tolist(),
                "files": task.files,
            }
            write_atomically(labels_path(run, number), sealed(json.dumps(content, separators=(",", ":"))))


def read_labels(run: Path, task: int) -> TaskLabels | None:
    """The labels of a task; None if they are missing, as in the folder of an earlier version, or damaged."""
    found = content_of(labels_path(run, task))
    content = None if found is None else unsealed(found)
    if content is None or misfit(content, _SHAPE) is not None or content.keys() != _SHAPE.keys():
        return None
    return TaskLabels(
        content["task_name"],
        content["fingerprint"],
        tuple(content["classes"]),
        np.asarray(content["labels"], dtype=np.int64),
        tuple(content["files"]),
    )
