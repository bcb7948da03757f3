"""The figures of a run, as SVG and PNG.

Layout is in inches and computed here, because a figure of 25 methods needs another size than one of three, and because
Matplotlib's own layout engines and tight boxes draw everything twice. Every function takes accuracies as fractions and
draws percent.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pandas as pd

from benchmark.report.curves import _curves
from benchmark.report.layout import (
    save_figure,
)
from benchmark.report.matrices import _matrices
from benchmark.report.scatter import _accuracy_vs_compute, _accuracy_vs_parameters
from benchmark.report.style import RC
from benchmark.results import metrics
from benchmark.results.blocks import factors_of, repetitions_of
from benchmark.results.matrices import drawn_runs
from methods.names import printable

#: What is drawn in place of the first task's accuracy over several orders, in each of which another task is the first.
FIRST_TASK_DROP = "What the first task of each order has lost since it was learned (pp)"

NAMES = (
    "first_task_accuracy",
    "average_accuracy",
    "accuracy_vs_parameters",
    "accuracy_vs_compute",
    "accuracy_matrix",
)


def draw_figures(
    accuracy: pd.DataFrame,
    summary: pd.DataFrame,
    compute: pd.DataFrame,
    tasks: pd.DataFrame,
    folder: Path,
) -> list[Path]:
    """Draw every figure of NAMES into `folder` as .svg and .png; the same frames give the same bytes.

    Args:
        accuracy, summary, compute, tasks: the rows of the CSV files of these names. A method that failed
            may be missing from any but `summary`, whose order is the order of the labels.
        folder: made if it is not there.

    Returns:
        The files written.
    """
    folder.mkdir(exist_ok=True)
    names = [printable(str(name)) for name in tasks["task_name"]]
    factors = factors_of(repetitions_of(accuracy))
    first, title = metrics.first_task_curve, f"Accuracy on the first task, {names[0]} (%)"
    if "order" in factors:
        # In each order another task stands in a place, so that the places are all there is to name.
        names = [f"task {place}" for place in range(1, len(names) + 1)]
        first, title = metrics.first_task_drop_curve, FIRST_TASK_DROP
    with mpl.rc_context(RC):
        runs = drawn_runs(accuracy, [str(method) for method in summary["method"]], len(names))
        figures = (
            _curves(runs, first, title, factors[0]),
            _curves(
                runs, metrics.average_accuracy_curve, "Average accuracy on the tasks learned so far (%)", factors[0]
            ),
            _accuracy_vs_parameters(summary),
            _accuracy_vs_compute(summary, compute),
            _matrices(runs, names),
        )
        return [path for name, figure in zip(NAMES, figures, strict=True) for path in save_figure(figure, folder, name)]


# What is drawn


# Text and layout


# Accuracy against tasks learned


# Accuracy against cost


# Accuracy matrices
