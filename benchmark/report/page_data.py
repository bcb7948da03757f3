"""The data for the charts that the script of report.html draws: plain lists and numbers, ready for JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex

from benchmark.report.style import method_style
from benchmark.results import metrics
from benchmark.results.matrices import DrawnRun, drawn_runs
from benchmark.results.run import Results


def page_data(results: Results) -> dict[str, Any]:
    """The tasks' names, a colour for each whole percent, and each method that learned a task.

    Returns:
        `tasks`: place and name, or only the place if there are several orders, because then no task has a fixed place.
        `colours`: 101, from 0 to 100 %.
        `drop`: whether the curve of the first task is its drop, as with several orders.
        `methods`: for each its label and style, the number of runs behind its means, its two curves, its accuracy
        matrix (rows with one number per task, up to the last evaluated one), and its place in the charts of costs.
        Accuracies are fractions; null means not measured.
    """
    names = [f"{place}. {name}" for place, name in enumerate(results.tasks["task_name"], 1)]
    first = metrics.first_task_curve
    if results.over_orders:
        first = metrics.first_task_drop_curve
        names = [f"task {place}" for place in range(1, len(names) + 1)]
    outcome = results.summary.set_index("method")
    viridis = mpl.colormaps["viridis"]
    return {
        "tasks": names,
        "drop": results.over_orders,
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
            for run in drawn_runs(results.matrices)
        ],
    }


def _look(method: str) -> dict[str, Any]:
    """As in the figures; dashes are in line widths."""
    style = method_style(method)
    return {
        "label": method,
        # Nobody would see black on a dark page.
        "colour": "var(--ink)" if style.colour == "#000000" else style.colour,
        "dash": [] if isinstance(style.dash, str) else list(style.dash[1]),
        "marker": style.marker,
    }


def _accuracies(run: DrawnRun, first: Callable[[metrics.Array], metrics.Array]) -> dict[str, Any]:
    mean = run.matrices.mean(axis=0)[: run.learned]
    return {
        "runs": run.repetitions,
        "learned": run.learned,
        "average_accuracy": _curve(run, metrics.average_accuracy_curve),
        "first_task_accuracy": _curve(run, first),
        "matrix": [_fractions(row[: np.flatnonzero(np.isfinite(row))[-1] + 1]) for row in mean],
    }


def _curve(run: DrawnRun, curve: Callable[[metrics.Array], metrics.Array]) -> dict[str, Any]:
    """The mean, lowest and highest over blocks after each task learned; the last two are null with one block."""
    values = np.stack([curve(R) for R in run.matrices])[:, : run.learned]
    band = (_fractions(values.min(axis=0)), _fractions(values.max(axis=0))) if len(values) > 1 else (None, None)
    return {"mean": _fractions(values.mean(axis=0)), "lowest": band[0], "highest": band[1]}


def _fractions(values: Iterable[float]) -> list[float | None]:
    return [_fraction(value) for value in values]


def _fraction(value: float) -> float | None:
    # Nobody can see a fifth digit, and there may be a hundred thousand accuracies.
    return round(float(value), 4) if math.isfinite(value) else None


def _cost(value: float) -> float | None:
    # Significant digits, because costs range from far below a percent (a mask of bits) to far above (all images).
    return float(f"{value:.6g}") if math.isfinite(value) else None
