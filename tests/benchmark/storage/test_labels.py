"""The right answers to the test images of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmark.storage.labels import TaskLabels, labels_path, read_labels, write_labels

TASK = TaskLabels("pets", "f" * 64, ("cat", "\N{CAT}", "="), np.array([0, 2, 1]), ("test/cat/1.png", "a\\b.png", "c"))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_labels(tmp_path, {1: TASK, 2: replace(TASK, files=())})
    found = read_labels(tmp_path, 1)
    assert found is not None
    assert (found.task_name, found.fingerprint, found.classes, found.files) == (
        "pets",
        "f" * 64,
        TASK.classes,
        TASK.files,
    )
    assert found.labels.tolist() == [0, 2, 1]
    assert found.labels.dtype == np.int64
    assert read_labels(tmp_path, 3) is None


def test_damaged_ones_are_none_until_they_are_written_again(tmp_path: Path) -> None:
    write_labels(tmp_path, {1: TASK})
    path = labels_path(tmp_path, 1)
    whole = path.read_bytes()
    for content in (whole[:-3], whole.replace(b"[0,2,1]", b"[0,1,1]"), b"[]", b"{}", b""):
        path.write_bytes(content)
        assert read_labels(tmp_path, 1) is None
        write_labels(tmp_path, {1: TASK})
        assert path.read_bytes() == whole


def test_whole_files_are_left_alone(tmp_path: Path) -> None:
    write_labels(tmp_path, {1: TASK})
    before = labels_path(tmp_path, 1).stat().st_ino
    write_labels(tmp_path, {1: TASK})
    assert labels_path(tmp_path, 1).stat().st_ino == before
