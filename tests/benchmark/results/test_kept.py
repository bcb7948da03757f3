"""Tables of answers."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.results.answers import Marked
from benchmark.results.kept import class_table
from benchmark.storage.answers import Answers
from benchmark.storage.labels import TaskLabels
from benchmark.storage.manifest import Manifest

MANIFEST = Manifest({"orders": [[2, 1]], "tasks": [{"task_name": "cars"}, {"task_name": "pets"}]})


def marked(labels: list[int], given: list[int], classes: tuple[str, ...], **competition: int) -> Marked:
    sure = np.ones(len(given), dtype=np.float32)
    return Marked(Answers(np.array(given), sure), TaskLabels("t", "f", classes, np.array(labels), ()), **competition)


def test_classes_of_each_task_apart() -> None:
    tasks = {
        1: marked([0, 0, 1], [0, 1, 1], ("cat", "dog")),
        2: marked([0, 1], [0, 1], ("car", "van")),
    }
    table = class_table({("er", 0, 0): tasks}, MANIFEST)
    assert table[["task", "task_name", "class", "class_name", "images"]].to_numpy().tolist() == [
        [1, "pets", 0, "cat", 2],
        [1, "pets", 1, "dog", 1],
        [2, "cars", 0, "car", 1],
        [2, "cars", 1, "van", 1],
    ]
    assert table["recall"].tolist() == [0.5, 1, 1, 1]
    assert table["precision"].tolist() == [1, 0.5, 1, 1]


def test_classes_of_all_tasks_compete() -> None:
    """A van is taken for a dog, which makes the answer "dog" less precise; a dog is taken for a car."""
    tasks = {
        1: marked([0, 1, 1], [0, 1, 2], ("cat", "dog"), first=0, competing=4),
        2: marked([0, 1, 1], [2, 3, 1], ("car", "van"), first=2, competing=4),
    }
    assert tasks[2].right.tolist() == [True, True, False]
    table = class_table({("er", 0, 0): tasks}, MANIFEST)
    assert table["class_name"].tolist() == ["cat", "dog", "car", "van"]
    assert table["class"].tolist() == [0, 1, 0, 1]
    assert table["images"].tolist() == [1, 2, 1, 2]
    assert table["recall"].tolist() == [1, 0.5, 1, 0.5]
    assert table["precision"].tolist() == [1, 0.5, 0.5, 1]
    assert table["f1"].tolist() == pytest.approx([1, 0.5, 2 / 3, 2 / 3])
