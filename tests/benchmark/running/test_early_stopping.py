"""A run whose methods stop early: its table of epochs, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from benchmark.api import load_results
from benchmark.cli.main import main
from benchmark.files import folder_name

METHODS = "sgd:patience=1:keep=best:lr=0.3:schedule=constant,er:patience=1,clr"


@pytest.fixture(autouse=True)
def _quick(quick_report: None, one_thread: None) -> None:
    """No figures."""


def arguments(folder: Path, *options: str) -> list[str]:
    """The command of a tiny run."""
    shape = ("--tasks", "2", "--train-images", "30", "--test-images", "10", "--image-size", "16", "--epochs", "5")
    return ["run", *shape, "--jobs", "1", "--out", str(folder.parent), "--name", folder.name, *options]


def test_the_epochs_of_each_task_are_in_a_table(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert main(arguments(folder, "--methods", METHODS)) == 0
    table = pd.read_csv(folder / "epochs.csv")
    assert list(table) == [
        *("method", "seed", "task", "task_name", "epochs_learned", "epoch_kept", "validation_accuracy"),
    ]
    labels = METHODS.split(",")[:2]
    assert list(zip(table["method"], table["seed"], table["task"], strict=True)) == [
        (label, 0, task) for label in labels for task in (1, 2)
    ]
    for row in table.itertuples():
        record = json.loads((folder / "cells" / folder_name(row.method) / f"seed-0/after-{row.task}.json").read_text())
        accuracies = record["validation_accuracies"]
        # One epoch without a better one ends the task.
        falls = [k for k in range(1, len(accuracies)) if accuracies[k] <= max(accuracies[:k])]
        ends = falls[0] + 1 if falls else 5
        assert (row.epochs_learned, len(accuracies), len(record["losses"])) == (ends, ends, ends)
        best = 1 + accuracies.index(max(accuracies))
        assert row.epoch_kept == (best if "keep=best" in row.method else ends)
        assert row.validation_accuracy == accuracies[row.epoch_kept - 1]
    assert "epochs_learned" not in json.loads((folder / "cells/clr/seed-0/after-1.json").read_text())
    again = load_results(folder).epochs
    pd.testing.assert_frame_equal(again.drop(columns="order"), table, check_dtype=False)


def test_without_validation_images_it_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(tmp_path / "run", "--methods", "clr,er:keep=best", "--validation", "0")) == 2
    said = capsys.readouterr().err
    assert "--validation 0: 'er:keep=best' stops early or keeps the best epoch by validation images" in said
    assert not (tmp_path / "run").exists()
    assert main(arguments(tmp_path / "run", "--methods", "clr", "--validation", "0", "--epochs", "1")) == 0
    assert not (tmp_path / "run/epochs.csv").exists()


def test_cost_says_that_it_is_an_upper_bound(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--methods", "sgd:patience=2,clr:keep=best", "--tasks", "2", "--images", "40"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "upper bound" in line]
    assert len(lines) == 1
    assert lines[0].startswith("sgd:patience=2 may stop early: its training operations are an upper bound")
