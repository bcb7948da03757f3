"""What the script of report.html draws its charts from: plain lists and numbers, ready to be written as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from benchmark import metrics
from benchmark.report.figures import DrawnRun, drawn_runs
from benchmark.report.style import method_style
from benchmark.report.tables import bytes_text


def page_data(
    accuracy: pd.DataFrame,
    summary: pd.DataFrame,
    parameters: pd.DataFrame,
    compute: pd.DataFrame,
    tasks: pd.DataFrame,
) -> dict[str, Any]:
    """The tasks' names, a colour for each whole percent, and each method that learned a task.

    Args:
        accuracy, summary, parameters, compute, tasks: the rows of the CSV files of these names. A method that failed
            may be missing from any but `summary`, whose order is that of the methods.

    Returns:
        `tasks`: place and name, or the place alone where several orders leave nothing else to name.
        `colours`: 101, from 0 to 100 %.
        `methods`: for each its label and style, over how many runs its numbers are means, its two curves, its accuracy
        matrix (rows of one number a task, up to the last that was evaluated), and its place in the charts of costs.
        Accuracies are fractions; null is what was not measured.
    """
    names = [f"{place}. {name}" for place, name in enumerate(tasks["task_name"], 1)]
    if "order" in accuracy:
        names = [f"task {place}" for place in range(1, len(names) + 1)]
    runs = drawn_runs(accuracy, [str(method) for method in summary["method"]], len(names))
    outcome, storage, spent = (frame.set_index("method") for frame in (summary, parameters, compute))
    viridis = mpl.colormaps["viridis"]
    return {
        "tasks": names,
        "colours": [to_hex(viridis(percent / 100)) for percent in range(101)],
        "methods": [
            _look(run.method)
            | _accuracies(run)
            | {
                "accuracy": _fraction(outcome["average_accuracy"].get(run.method, math.nan)),
                "interval": _fraction(outcome["average_accuracy_ci95"].get(run.method, math.nan)),
                "storage": _cost(storage["extra_parameters_percent"].get(run.method, math.nan)),
                "compute": _cost(spent["normalized_compute"].get(run.method, math.nan)),
                "replay": _replay(storage["replay_bytes"].get(run.method, 0)),
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


def _accuracies(run: DrawnRun) -> dict[str, Any]:
    mean = run.matrices.mean(axis=0)[: run.learned]
    return {
        "runs": len(run.matrices),
        "learned": run.learned,
        "average_accuracy": _curve([metrics.average_accuracy_curve(R) for R in run.matrices], run.learned),
        "first_task_accuracy": _curve([metrics.first_task_curve(R) for R in run.matrices], run.learned),
        "matrix": [_fractions(row[: np.flatnonzero(np.isfinite(row))[-1] + 1]) for row in mean],
    }


def _curve(curves: Sequence[metrics.Array], learned: int) -> dict[str, Any]:
    """The mean of curves after each task learned, and half its 95 % confidence interval; null with one curve."""
    points = np.stack(curves)[:, :learned]
    intervals = [metrics.confidence_interval_95(point) for point in points.T]
    return {"mean": _fractions(points.mean(axis=0)), "interval": _fractions(intervals) if len(curves) > 1 else None}


def _fractions(values: Iterable[float]) -> list[float | None]:
    return [_fraction(value) for value in values]


def _fraction(value: float) -> float | None:
    # A fifth digit cannot be seen, and there may be a hundred thousand accuracies.
    return round(float(value), 4) if math.isfinite(value) else None


def _cost(value: float) -> float | None:
    # Significant digits, since a mask of bits adds far less than a percent, and all images far more.
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _replay(size: float) -> str | None:
    """Kept images cost no parameters, so a method that keeps some says so."""
    return bytes_text(size) if size > 0 else None
