"""The table and the figure of one method on several backbones, from run folders with known numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from benchmark.report.backbones import COLUMNS, write_comparison
from benchmark.report.table import EMPTY
from benchmark.report.text import to_text
from benchmark.results.run import Results, results_of
from benchmark.results.schema import ACCURACY_COLUMNS, COMPUTE_COLUMNS, PARAMETER_COLUMNS, TASK_COLUMNS
from benchmark.storage.manifest import Manifest


def results(backbone: str, accuracy: float | None, ci95: float = math.nan, own: tuple[float, ...] = ()) -> Results:
    """Those of a run of clr on a backbone; it has failed if there is no accuracy.

    Args:
        own: the accuracies of the repetitions, if they are too few for an interval.
    """
    failed = accuracy is None
    status = "failed" if failed else "succeeded"
    costs = {"method": "clr", "backbone_parameters": 1000, "training_flops": 2_000_000_000, "features_cached": False}
    costs |= {"extra_parameters_percent": 0.6, "normalized_compute": 0.67}
    manifest = Manifest(
        cells=[{"method": "clr", "seed": 0, "order": 0, "status": status}],
        tasks=[dict.fromkeys(TASK_COLUMNS, 0)],
        backbone={"spec": backbone},
        reference="clr",
        bounds=[],
    )
    row = ("clr", 0, 1, 1, "digits", accuracy, 10, 0)
    found = results_of(
        Path("nowhere"),
        manifest,
        pd.DataFrame([] if failed else [row], columns=[*ACCURACY_COLUMNS, "order"]),
        pd.DataFrame([] if failed else [costs], columns=list(PARAMETER_COLUMNS)),
        pd.DataFrame([] if failed else [costs], columns=list(COMPUTE_COLUMNS)),
    )
    summary = found.summary.assign(average_accuracy_ci95=ci95, seeds=0 if failed else len(own) or 5)
    few = {("clr", "average_accuracy"): own} if own else {}
    return replace(found, summary=summary, repeated=few)


@pytest.fixture
def comparison(tmp_path):
    """A folder, and the table that was written there of three runs, one of which failed."""
    runs = [
        (results("resnet18:until=layer3:weights=/somewhere/far/voc_$1.pth", 0.5, 0.02), "voc_$1.pth"),
        (results("dino_resnet50:sha256=01234567", 0.75, 0.9, (0.7, 0.8, 0.75)), "DINO"),
        (results("vgg11", None), "none"),
    ]
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
    assert frame["seeds"].tolist() == [5, 3, 0]
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
    assert first[:5] == ["resnet18:until=layer3", "voc_$1.pth", "succeeded", "5", "50.0 ± 2.0"]
    assert second[:5] == ["dino_resnet50", "DINO", "succeeded", "3", "75.0 (70.0 to 80.0)"]
    assert third[:5] == ["vgg11", "none", "failed", "0", EMPTY]
    # No test compares backbones, so that none is called the best.
    assert not any(cell.best for row in table.rows for cell in row)
    assert "clr on several backbones" in to_text(table)


def test_it_can_be_pasted(comparison):
    folder, _ = comparison
    lines = (folder / "backbones.md").read_text().splitlines()
    assert lines[2].startswith("| Backbone | Pretraining | Status | Seeds | Average accuracy (%) |")
    assert lines[5].startswith(r"| dino\_resnet50 | DINO | succeeded | 3 | 75.0 (70.0 to 80.0) | 1,000 |")
    latex = (folder / "backbones.tex").read_text()
    assert latex.startswith("% \\usepackage{booktabs}\n")
    assert r"resnet18:until=layer3 & voc\_\$1.pth & succeeded & 5 & 50.0 $\pm$ 2.0 " in latex


def test_the_figure_has_a_bar_with_its_value_for_each(comparison):
    folder, _ = comparison
    picture = (folder / "backbones.svg").read_text()
    for text in ("resnet18:until=layer3, voc_$1.pth", "dino_resnet50, DINO", "vgg11, none", "50.0", "75.0", "failed"):
        assert text in picture
    assert "95 % confidence, dots: repetitions" in picture
    assert (folder / "backbones.png").stat().st_size > 1000
