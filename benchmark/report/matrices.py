"""Accuracy matrices as pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from benchmark.report.labels import shorten_all
from benchmark.report.layout import LABEL_SIZE, axes_at, empty_figure, numbers_shown, text_inches
from benchmark.results.matrices import DrawnRun


def draw_matrices(runs: Sequence[DrawnRun], names: Sequence[str], scenario: str = "") -> Figure:
    """One panel per method: a row per task learned, a column per task evaluated, blank if it was not evaluated.

    Args:
        runs: the methods.
        names: of the tasks.
        scenario: what the label of the accuracies says of the scenario.
    """
    if not runs:
        return empty_figure("No method finished a task.")
    tasks = len(names)
    written = tasks <= 12
    named = written or (tasks <= 20 and len(runs) <= 4)
    shown = shorten_all(names, 0.95)
    if named:
        panel = max(1.05, tasks * (0.225 if written else 0.125))
        margin = 0.1 + max(text_inches(name) for name in shown)
    else:
        panel = 1.9 if len(runs) <= 9 else 1.05
        margin = 0.3
    gap, title = 0.14, 0.22
    # If the values are written, a scale of colours would repeat them.
    bar = 0.1 if written else 0.55
    columns = min(len(runs), max(1, int((7.05 - 0.25 - margin - bar + gap) / (panel + gap))))
    rows = math.ceil(len(runs) / columns)
    left, bottom = 0.25 + margin, margin + 0.25
    width, height = columns * (panel + gap) - gap, rows * (panel + title + gap) - gap

    figure = Figure(figsize=(left + width + bar, bottom + height + 0.1))
    across, up = figure.get_size_inches()
    scale = Normalize(0, 100)
    colours = mpl.colormaps["viridis"]
    titles = shorten_all([run.label for run in runs], panel + gap - 0.06)
    for k, run in enumerate(runs):
        row, column = divmod(k, columns)
        R = 100 * run.matrices.mean(axis=0)
        axes = axes_at(
            figure,
            left + column * (panel + gap),
            bottom + (rows - 1 - row) * (panel + title + gap),
            panel,
            panel,
        )
        axes.set_title(titles[k], fontsize=LABEL_SIZE, pad=3)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        image = axes.imshow(np.ma.masked_invalid(R), cmap=colours, norm=scale, interpolation="none", aspect="auto")
        if written:
            for i, j in zip(*np.nonzero(np.isfinite(R)), strict=True):
                ink = "white" if R[i, j] < 60 else "black"
                axes.text(j, i, f"{R[i, j]:.0f}", ha="center", va="center_baseline", color=ink, fontsize=LABEL_SIZE)
        _task_ticks(
            axes, shown if named else None, tasks, outer_left=column == 0, outer_bottom=k + columns >= len(runs)
        )
    figure.text(0.1 / across, (bottom + height / 2) / up, "after learning", rotation=90, va="center", fontsize=9)
    figure.text((left + width / 2) / across, 0.06 / up, f"accuracy (%{scenario}) on", ha="center", fontsize=9)
    if not written:
        tall = min(height - title, 2.0)
        place = axes_at(figure, left + width + 0.12, bottom + height - title - tall, 0.09, tall)
        colorbar = figure.colorbar(image, cax=place)
        colorbar.outline.set_visible(False)
        place.set_title("%", fontsize=LABEL_SIZE, pad=3)
    return figure


def _task_ticks(axes: Axes, names: Sequence[str] | None, tasks: int, *, outer_left: bool, outer_bottom: bool) -> None:
    """Task names, or numbers if there are too many for names, on the outer panels only."""
    if names is None:
        ticks = [number - 1 for number in numbers_shown(tasks)]
        labels = [str(tick + 1) for tick in ticks]
    else:
        ticks, labels = list(range(tasks)), list(names)
    axes.set_xticks(ticks, labels if outer_bottom else [""] * len(ticks), rotation=90 if names else 0)
    axes.set_yticks(ticks, labels if outer_left else [""] * len(ticks))
    axes.tick_params(length=0 if names else 2, pad=2)
