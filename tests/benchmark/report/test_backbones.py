"""The table and the figure of one method on several backbones, from run folders with known numbers."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

from benchmark.report.backbones import COLUMNS, write_comparison
from benchmark.report.table import EMPTY
from benchmark.report.text import to_text
from benchmark.results.schema import COMPUTE_COLUMNS, PARAMETER_COLUMNS, SUMMARY_COLUMNS
from benchmark.storage.folder import open_run


@pytest.fixture
def write_run(tmp_path):
    """write_run(name, backbone, accuracy, ci95): the folder of a run of clr; it has failed if there is no accuracy."""

    def write(name: str, backbone: str, accuracy: float | None, ci95: float = math.nan) -> Path:
        run = open_run(tmp_path / name)
        status = "failed" if accuracy is None else "succeeded"
        row = {"method": "clr", "seeds": 0 if accuracy is None else 3, "status": status}
        row |= {"average_accuracy": accuracy, "average_accuracy_ci95": ci95}
        costs = {"method": "clr", "backbone_parameters": 1000, "training_flops": 2_000_000_000}
        if accuracy is not None:
            row |= {"extra_parameters_percent": 0.6, "normalized_compute": 0.67}
        rows = [] if accuracy is None else [costs]
        run.write_csv("summary", pd.DataFrame([row], columns=list(SUMMARY_COLUMNS)))
        run.write_csv("parameters", pd.DataFrame(rows, columns=list(PARAMETER_COLUMNS)))
        run.write_csv("compute", pd.DataFrame(rows, columns=list(COMPUTE_COLUMNS)))
        run.write_manifest({"settings": {}, "cells": [], "tasks": [], "backbone": {"spec": backbone}})
        return run.path

    return write


@pytest.fixture
def comparison(tmp_path, write_run):
    """A folder, and the table that was written there of three runs, one of which failed."""
    runs = {
        write_run("a", "resnet18:until=layer3:weights=/somewhere/far/voc_$1.pth", 0.5, 0.02): "voc_$1.pth",
        write_run("b", "dino_resnet50:sha256=01234567", 0.75): "DINO",
        write_run("c", "vgg11", None): "none",
    }
    return tmp_path, write_comparison(tmp_path, runs)


def test_the_csv_has_what_the_runs_measured(comparison):
    folder, _ = comparison
    frame = pd.read_csv(folder / "backbones.csv")
    assert tuple(frame) == COLUMNS
    assert frame["backbone"].tolist() == [
        "resnet18:until=layer3:weights=/somewhere/far/voc_$1.pth",
        "dino_resnet50:sha256=01234567",
        "vgg11",
    ]
    assert frame["pretraining"].tolist() == ["voc_$1.pth", "DINO", "none"]
    assert frame["status"].tolist() == ["succeeded", "succeeded", "failed"]
    assert frame["seeds"].tolist() == [3, 3, 0]
    numbers = frame.set_index("pretraining")
    assert numbers["average_accuracy"].tolist()[:2] == [0.5, 0.75]
    assert numbers.loc["voc_$1.pth", "average_accuracy_ci95"] == 0.02
    assert numbers.loc["DINO", ["extra_parameters_percent", "normalized_compute"]].tolist() == [0.6, 0.67]
    assert numbers.loc["DINO", ["backbone_parameters", "training_flops"]].tolist() == [1000, 2e9]
    assert numbers.loc["none", "average_accuracy":].isna().all()


def test_the_table_tells_the_weights_once(comparison):
    _, table = comparison
    assert table.headers[:4] == ("Backbone", "Pretraining", "Status", "Seeds")
    first, second, third = ([cell.text for cell in row] for row in table.rows)
    assert first[:5] == ["resnet18:until=layer3", "voc_$1.pth", "succeeded", "3", "50.0 ± 2.0"]
    assert second[:5] == ["dino_resnet50", "DINO", "succeeded", "3", "75.0"]
    assert third[:5] == ["vgg11", "none", "failed", "0", EMPTY]
    # No test compares backbones, so that none is called the best.
    assert not any(cell.best for row in table.rows for cell in row)
    assert "clr on several backbones" in to_text(table)


def test_it_can_be_pasted(comparison):
    folder, _ = comparison
    lines = (folder / "backbones.md").read_text().splitlines()
    assert lines[2].startswith("| Backbone | Pretraining | Status | Seeds | Average accuracy (%) |")
    assert lines[5].startswith(r"| dino\_resnet50 | DINO | succeeded | 3 | 75.0 | 1,000 |")
    latex = (folder / "backbones.tex").read_text()
    assert latex.startswith("% \\usepackage{booktabs}\n")
    assert r"resnet18:until=layer3 & voc\_\$1.pth & succeeded & 3 & 50.0 $\pm$ 2.0 &" in latex


def test_the_figure_has_a_bar_with_its_value_for_each(comparison):
    folder, _ = comparison
    picture = (folder / "backbones.svg").read_text()
    for text in ("resnet18:until=layer3, voc_$1.pth", "dino_resnet50, DINO", "vgg11, none", "50.0", "75.0", "failed"):
        assert text in picture
    assert "95 % confidence" in picture
    assert (folder / "backbones.png").stat().st_size > 1000
