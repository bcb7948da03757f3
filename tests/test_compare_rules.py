"""The script that compares rules of task inference: on validation images only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import torch

from benchmark.config import Settings
from benchmark.planning.preparation import Prepared
from benchmark.streams.base import Stream, Task
from methods import Network
from methods.configured import configure


@pytest.fixture(scope="module")
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("compare_rules")


def test_no_test_image_takes_part(
    script: ModuleType, tiny_network: Network, tiny_tasks: tuple[Task, ...], tmp_path: Path
) -> None:
    rules = ("energy", "centres")
    settings = Settings(methods=("linear-probe",), epochs=1, infer=rules)
    prepared = Prepared(
        settings, (configure("linear-probe"),), Stream("tiny", tiny_tasks), tiny_network, torch.device("cpu")
    )
    changed = script.on_validation_images(prepared)
    for task, old in zip(changed.stream.tasks, tiny_tasks, strict=True):
        assert torch.equal(task.test.images, old.validation.images)
        assert torch.equal(task.train.images, old.train.images)
    table = script.compare(changed, tmp_path / "run")
    assert list(table["rule"]) == list(rules)
    accuracy = pd.read_csv(tmp_path / "run" / "accuracy.csv")
    assert set(accuracy["images"]) == {len(task.validation) for task in tiny_tasks}


def test_the_table_has_a_row_for_each_method(script: ModuleType) -> None:
    columns = ["method", "rule", "task_inference_accuracy", "accuracy_inferred", "accuracy_with_oracle"]
    rows = [
        ("er", "joint softmax", 0.5, 0.4, 0.75),
        ("er", "gmm", 0.25, 0.2, 0.75),
        ("er", "energy", 0.125, 0.1, 0.75),
        ("clr", "gmm", 1.0, 0.9, 0.95),
        ("clr", "energy", 0.5, 0.5, 0.95),
    ]
    text = script.to_markdown(pd.DataFrame(rows, columns=columns), ("energy", "gmm"))
    assert text.splitlines() == [
        "| method | energy | gmm | task known |",
        "|---|---|---|---|",
        "| er | 12.5 / 10.0 | 25.0 / 20.0 | 75.0 |",
        "| clr | 50.0 / 50.0 | 100.0 / 90.0 | 95.0 |",
    ]
