"""What the script of report.html draws its charts from: plain lists and numbers, ready to be written as JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from benchmark.report.style import method_style
from benchmark.results import metrics
from benchmark.results.blocks import factors_of, interval_95, repetitions_of
from benchmark.results.matrices import DrawnRun, drawn_runs


def page_data(
    accuracy: pd.DataFrame,
    summary: pd.DataFrame,
    tasks: pd.DataFrame,
) -> dict[str, Any]:
    """The tasks' names, a colour for each whole percent, and each method that learned a task.

    Args:
        accuracy, summary, tasks: the rows of the CSV files of these names. The order of `summary` is that of the
            methods.

    Returns:
        `tasks`: place and name, or the place alone where several orders leave nothing else to name.
        `colours`: 101, from 0 to 100 %.
        `drop`: whether the curve of the first task is what it has lost, as over several orders.
        `methods`: for each its label and style, over how many runs its numbers are means, its two curves, its accuracy
        matrix (rows of one number a task, up to the last that was evaluated), and its place in the charts of costs.
        Accuracies are fractions; null is what was not measured.
    """
    names = [f"{place}. {name}" for place, name in enumerate(tasks["task_name"], 1)]
    first = metrics.first_task_curve
    if "order" in factors_of(repetitions_of(accuracy)):
        first = metrics.first_task_drop_curve
        names = [f"task {place}" for place in range(1, len(names) + 1)]
    runs = drawn_runs(accuracy, [str(method) for method in summary["method"]], len(names))
    outcome = summary.set_index("method")
    viridis = mpl.colormaps["viridis"]
    return {
        "tasks": names,
        "drop": first is metrics.first_task_drop_curve,
        "colours": [to_hex(viridis(percent / 100)) for percent in range(101)],
        "methods": [
            _look(run.method)
            | _accuracies(run, first)
            | {
                "accuracy": _fraction(outcome.loc[run.method, "average_accuracy"]),
                "interval": _fraction(outcome.loc[run.method, "average_accuracy_ci95"]),
                "storage": _cost(outcome.loc[run.method, "stored_percent"]),
                "compute": _cost(outcome.loc[run.method, "normalized_compute"]),
            }
            for run in runs
        ],
    }


def _look(method: str) -> dict[str, Any]:
    """As in the figures; dashes are in line widths."""
    style = method_style(method)
    return {
        "label": method,
        # Black on a dark page would be seen by nobody.
        "colour": "var(--ink)" if style.colour == "#000000" else style.colour,
        "dash": [] if isinstance(style.dash, str) else list(style.dash[1]),
        "marker": style.marker,
    }


def _accuracies(run: DrawnRun, first: Callable[[metrics.Array], metrics.Array]) -> dict[str, Any]:
    mean = run.matrices.mean(axis=0)[: run.learned]
    return {
        "runs": len(run.repetitions),
        "learned": run.learned,
        "average_accuracy": _curve(run, metrics.average_accuracy_curve),
        "first_task_accuracy": _curve(run, first),
        "matrix": [_fractions(row[: np.flatnonzero(np.isfinite(row))[-1] + 1]) for row in mean],
    }


def _curve(run: DrawnRun, curve: Callable[[metrics.Array], metrics.Array]) -> dict[str, Any]:
    """The mean of curves after each task learned, and half its 95 % confidence interval; null with one curve."""
    mean = np.mean([curve(R) for R in run.matrices], axis=0)[: run.learned]
    if len(run.repetitions) == 1:
        return {"mean": _fractions(mean), "interval": None}
    curves = {repetition: curve(R) for repetition, R in run.repetitions.items()}
    points = ({repetition: values[i] for repetition, values in curves.items()} for i in range(run.learned))
    return {"mean": _fractions(mean), "interval": _fractions(interval_95(point, run.factors) for point in points)}


def _fractions(values: Iterable[float]) -> list[float | None]:
    return [_fraction(value) for value in values]


def _fraction(value: float) -> float | None:
    # A fifth digit cannot be seen, and there may be a hundred thousand accuracies.
    return round(float(value), 4) if math.isfinite(value) else None


def _cost(value: float) -> float | None:
    # Significant digits, since a mask of bits adds far less than a percent, and all images far more.
    return float(f"{value:.6g}") if math.isfinite(value) else None
