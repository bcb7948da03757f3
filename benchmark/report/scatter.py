"""Accuracy against cost."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from benchmark.report.layout import (
    LINE,
    Frame,
    empty_figure,
    nearest,
    percent_limits,
    place_labels,
    rivals,
    shorten,
    text_inches,
)
from benchmark.report.style import method_style
from benchmark.results import metrics


def draw_accuracy_vs_parameters(summary: pd.DataFrame, scenario: str = "") -> Figure:
    """Average accuracy against all that is stored beyond the backbone; `scenario` is added to the title."""
    points = summary[["method", "average_accuracy", "average_accuracy_ci95", "stored_percent"]]
    return _scatter(points, "Stored beyond the backbone after the stream (% of the backbone)", scenario)


def draw_accuracy_vs_compute(summary: pd.DataFrame, scenario: str = "") -> Figure:
    """Average accuracy against the operations of training; `scenario` is added to the title."""
    points = summary[["method", "average_accuracy", "average_accuracy_ci95", "normalized_compute"]]
    return _scatter(points, "Training compute (fine-tuning = 1)", scenario)


def _scatter(points: pd.DataFrame, xlabel: str, scenario: str) -> Figure:
    """One labelled point per method; `points` has method, average_accuracy, its ci95, and the cost."""
    points = points.dropna(subset=["average_accuracy", points.columns[-1]])
    if points.empty:
        return empty_figure("No method finished the stream.")
    methods = [str(method) for method in points["method"]]
    y = 100 * points["average_accuracy"].to_numpy(dtype=float)
    ci = 100 * points["average_accuracy_ci95"].to_numpy(dtype=float)
    x = np.maximum(points.iloc[:, -1].to_numpy(dtype=float), 0.0)

    crowded = len(methods) > 8
    frame = Frame(
        width=6.3 if crowded else 4.4,
        height=max(2.8, 0.19 * len(methods)),
        left=0.4,
        bottom=0.48,
        right=0.15,
        top=0.35,
    )
    figure, axes = frame.axes()
    bars = ", bars: 95 % confidence" if np.isfinite(ci).any() else ""
    axes.set_title(f"Average accuracy after the last task (%{bars}){scenario}", x=-0.3 / frame.width)
    axes.set_xlabel(xlabel)
    _cost_axis(axes, x)
    low, high = percent_limits(np.concatenate([y - np.nan_to_num(ci), y + np.nan_to_num(ci)]))
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))

    where = [
        (float(across) - frame.left, float(up) - frame.bottom)
        for across, up in axes.transData.transform(np.column_stack([x, y])) / figure.dpi
    ]
    labels = [shorten(method, 2.3) for method in methods]
    sizes = [(text_inches(label) + 0.02, LINE) for label in labels]
    boxes = place_labels(where, sizes, (0.05, 0.03, frame.width, frame.height + 0.1))
    inches = figure.dpi_scale_trans + ScaledTranslation(frame.left, frame.bottom, figure.dpi_scale_trans)
    half = ci / (high - low) * frame.height
    for k, (method, (px, py), box) in enumerate(zip(methods, where, boxes, strict=True)):
        look = method_style(method)
        if math.isfinite(half[k]):
            axes.plot([px, px], [py - half[k], py + half[k]], color=look.colour, lw=0.8, alpha=0.6, transform=inches)
        end = nearest((px, py), box)
        if math.dist(end, (px, py)) > 0.11 or rivals(where, k, box):
            axes.plot([px, end[0]], [py, end[1]], color=look.colour, linewidth=0.6, transform=inches, zorder=2.6)
        axes.plot([px], [py], color=look.colour, marker=look.marker, markersize=6, transform=inches, zorder=3)
        axes.text(
            box[0] + 0.01,
            (box[1] + box[3]) / 2,
            labels[k],
            va="center_baseline",
            transform=inches,
            zorder=2.5,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.3},
        )
    return figure


def _cost_axis(axes: Axes, x: metrics.Array) -> None:
    """Set the x axis for costs `x` >= 0: linear from zero while they are comparable, else logarithmic.

    A logarithmic axis keeps a place for zero at its left if a method costs nothing.
    """
    paid = x[x > 0]
    if len(paid) == 0 or paid.max() <= 10 * paid.min():
        most = float(x.max()) or 1.0
        axes.set_xlim(0.0 if x.all() else -0.04 * most, 1.08 * most)
    else:
        floor = 10.0 ** math.floor(math.log10(paid.min()))
        steps = (1,) if paid.max() / paid.min() > 300 else (1, 2, 5)
        ticks = [floor * 10.0**power * step for power in range(12) for step in steps]
        if x.all():
            axes.set_xscale("log")
            axes.set_xlim(paid.min() / 1.5, 1.5 * paid.max())
        else:
            axes.set_xscale("symlog", linthresh=floor, linscale=0.5)
            axes.set_xlim(-0.15 * floor, 1.8 * paid.max())
            ticks.insert(0, 0.0)
        low, high = axes.get_xlim()
        axes.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
