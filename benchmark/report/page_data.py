"""The data for the charts that the script of report.html draws: plain lists and numbers, ready for JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex

from benchmark.report.points import Point, points_of
from benchmark.report.stored import COLOURS
from benchmark.report.style import method_style
from benchmark.results import metrics
from benchmark.results.matrices import DrawnRun, drawn_runs
from benchmark.results.repeated import FEWEST_BLOCKS
from benchmark.results.run import Results
from benchmark.results.stored import KINDS, stored_kinds

# The costs in the charts, and their columns in summary.csv.
_COSTS = {"storage": "stored_percent", "compute": "normalized_compute"}
# About as many losses of a method are drawn.
_MOST_LOSSES = 600


def page_data(results: Results) -> dict[str, Any]:
    """The tasks' names, a colour for each whole percent, and each method that learned a task.

    Returns:
        `tasks`: place and name, or only the place if there are several orders, because then no task has a fixed place.
        `colours`: 101, from 0 to 100 %.
        `drop`: whether the curve of the first task is its drop, as with several orders.
        `methods`: for each its label and style, the number of runs behind its means, its two curves, its accuracy
        matrix (rows with one number per task, up to the last evaluated one), its losses (a row for each task), its
        place in the charts of costs, that of its `other` answer with or without the task oracle, and the bytes that it
        stores of each of the `kinds`.
        `chance`: the chance levels after each task learned. Accuracies are fractions; null means not measured.
    """
    names = [f"{place}. {name}" for place, name in enumerate(results.tasks["task_name"], 1)]
    first = metrics.first_task_curve
    if results.over_orders:
        first = metrics.first_task_drop_curve
        names = [f"task {place}" for place in range(1, len(names) + 1)]
    outcome = results.summary.set_index("method")
    costs = {name: {point.method: point for point in points_of(results, cost)} for name, cost in _COSTS.items()}
    stored = stored_kinds(results.parameters, results.manifest)
    viridis = mpl.colormaps["viridis"]
    return {
        "tasks": names,
        "drop": results.over_orders,
        "colours": [to_hex(viridis(percent / 100)) for percent in range(101)],
        "chance": [_fractions(curve) for curve in results.chance.curves],
        "backbone": results.manifest.get("backbone", {}).get("bytes"),
        "kinds": [{"name": kind, "colour": COLOURS[kind]} for kind in KINDS],
        "methods": [
            _look(run.method)
            | _accuracies(run, first)
            | {"losses": _losses(results, run.method)}
            | {
                "accuracy": _fraction(outcome.loc[run.method, "average_accuracy"]),
                **_spread(results, run.method, outcome.loc[run.method, "average_accuracy_ci95"]),
                **{name: _cost(outcome.loc[run.method, cost]) for name, cost in _COSTS.items()},
                **_spots({name: points[run.method] for name, points in costs.items() if run.method in points}),
                "stored": [round(size) for size in stored.loc[run.method]] if run.method in stored.index else None,
            }
            for run in drawn_runs(results.matrices)
        ],
    }


def _spread(results: Results, method: str, interval: float) -> dict[str, Any]:
    """Half the interval of the average accuracy, or the accuracies of the repetitions if these are too few for one."""
    few = results.repeated.get((method, "average_accuracy"))
    return {"interval": _fraction(interval) if few is None else None, "repeated": _fractions(few or ())}


def _spots(points: Mapping[str, Point]) -> dict[str, Any]:
    """Whether the main answer has the oracle, and the other answer with its costs; the costs that are known."""
    others = {name: point.other for name, point in points.items() if point.other}
    known = next(iter(points.values()), None)
    if not others:
        return {"oracle": known is None or known.main.oracle, "other": None}
    first = next(iter(others.values()))
    where = {name: _cost(others[name].cost) if name in others else None for name in _COSTS}
    return {
        "oracle": not first.oracle,
        "other": {"accuracy": _fraction(first.accuracy), "oracle": first.oracle, **where},
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


def _losses(results: Results, method: str) -> list[list[float]] | None:
    """The mean over repetitions of the loss in each epoch of each task; None if no losses are kept.

    Of very many epochs some are left out, and the last one of a task stays.
    """
    own = [losses for (label, _, _), losses in results.losses.items() if label == method]
    tasks = []
    for epochs in zip(*own, strict=False):
        length = min(map(len, epochs))
        mean = np.mean([losses[:length] for losses in epochs], axis=0) if length else np.empty(0)
        step = max(1, len(own[0]) * length // _MOST_LOSSES)
        tasks.append([float(f"{loss:.4g}") for loss in mean[::-1][::step][::-1]])
    return tasks if any(tasks) and np.isfinite(np.concatenate(tasks)).all() else None


def _curve(run: DrawnRun, curve: Callable[[metrics.Array], metrics.Array]) -> dict[str, Any]:
    """The mean, lowest and highest over blocks after each task learned; the last two are null with one block.

    `each` has the curve of each block, if these are too few for an interval.
    """
    values = np.stack([curve(R) for R in run.matrices])[:, : run.learned]
    band = (_fractions(values.min(axis=0)), _fractions(values.max(axis=0))) if len(values) > 1 else (None, None)
    each = [_fractions(value) for value in values] if 1 < len(values) < FEWEST_BLOCKS else None
    return {"mean": _fractions(values.mean(axis=0)), "lowest": band[0], "highest": band[1], "each": each}


def _fractions(values: Iterable[float]) -> list[float | None]:
    return [_fraction(value) for value in values]


def _fraction(value: float) -> float | None:
    # Nobody can see a fifth digit, and there may be a hundred thousand accuracies.
    return round(float(value), 4) if math.isfinite(value) else None


def _cost(value: float) -> float | None:
    # Significant digits, because costs range from far below a percent (a mask of bits) to far above (all images).
    return float(f"{value:.6g}") if math.isfinite(value) else None
