"""Accuracy with and without the task oracle: what not knowing the task costs each method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmark.report.fonts import drawing
from benchmark.report.labels import shorten_all
from benchmark.report.layout import (
    LINE,
    Frame,
    draw_keys,
    percent_limits,
    place_keys,
    save_figure,
    text_inches,
    write_title,
)
from benchmark.report.style import TEXT, answer_style
from benchmark.results.questions import scenario_suffix
from benchmark.results.repeated import Repeated
from benchmark.results.run import Results

NAME = "oracle_gap"

#: What the figure is, and what its marks mean.
TITLE = "Average accuracy after the last task (%), with the task oracle and without"

# The column with the accuracies that the marks stand for.
_ACCURACY = "accuracy_inferred"

_ORACLE = "with the oracle"
_STEP = 0.09


def draw_oracle_gap(results: Results, folder: Path) -> list[Path]:
    """Draw the figure into `folder` as .svg and .png, if a method has two answers or more.

    Otherwise a figure that was drawn before is removed.

    Returns:
        The files written.
    """
    if not has_gaps(results):
        for kind in ("svg", "png"):
            (folder / f"{NAME}.{kind}").unlink(missing_ok=True)
        return []
    folder.mkdir(exist_ok=True)
    with drawing(results.manifest.labels):
        figure = _figure(_rows(results), results.repeated, f"{TITLE}{scenario_suffix(results.manifest)}")
        return save_figure(figure, folder, NAME)


def has_gaps(results: Results) -> bool:
    """Whether a method has an accuracy of at least two answers."""
    rows = _rows(results)
    answers = rows["accuracy_inferred"].groupby(rows["method"]).count()
    answers += rows["accuracy_with_oracle"].groupby(rows["method"]).max().notna()
    return bool((answers > 1).any())


def _rows(results: Results) -> pd.DataFrame:
    return results.inference.dropna(subset="accuracy_inferred")


def _figure(rows: pd.DataFrame, repeated: Repeated, title: str) -> Figure:
    """A line of dots for each way to answer, in a band for each method; a line from each dot to the oracle's mark.

    Args:
        rows: of inference.csv.
        repeated: as in Results: the accuracies that are too few for an interval.
        title: of the figure.
    """
    methods = list(dict.fromkeys(rows["method"]))
    ways = list(dict.fromkeys(rows["rule"]))
    labels = shorten_all([str(method) for method in methods], 2.0)
    left = 0.15 + max(map(text_inches, labels))
    width = max(2.5, 6.6 - left)
    keys = place_keys([*([_ORACLE] if rows["accuracy_with_oracle"].notna().any() else []), *ways], left + width + 0.2)
    band = _STEP * len(ways) + 0.12
    frame = Frame(
        width=width,
        height=band * len(methods),
        left=left,
        bottom=0.3,
        right=0.2,
        top=0.38 + LINE * (1 + keys[-1].line),
    )
    figure, axes = frame.axes()
    write_title(figure, title)
    # The y axis is in inches below the top.
    axes.set_ylim(frame.height, 0)
    drawn = rows["accuracy_with_oracle"].tolist()
    for row in _records(rows):
        few = repeated.get((row["method"], row["rule"], _ACCURACY))
        spread = np.nan_to_num(row["accuracy_inferred_ci95"])
        drawn += [row[_ACCURACY] - spread, row[_ACCURACY] + spread] if few is None else few
    axes.set_xlim(*percent_limits(100 * np.clip(drawn, 0, 1)))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.set_yticks([band * (k + 0.5) for k in range(len(methods))], labels)
    for k in range(1, len(methods)):
        axes.axhline(band * k, color=axes.get_xgridlines()[0].get_color(), linewidth=0.5)
    for row in _records(rows):
        own = rows["rule"][rows["method"] == row["method"]].tolist()
        place = own.index(row["rule"]) - (len(own) - 1) / 2
        y = band * (methods.index(row["method"]) + 0.5) + _STEP * place
        _draw_way(axes, row, repeated.get((row["method"], row["rule"], _ACCURACY)), y)
    styles = {way: answer_style(way) for way in ways}
    marks: dict[str, dict[str, Any]] = {
        way: {"color": style.colour, "marker": style.marker} for way, style in styles.items()
    }
    marks[_ORACLE] = {"color": TEXT, "marker": "|", "markersize": 9, "markeredgewidth": 1.6}
    draw_keys(figure, keys, marks)
    return figure


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return rows.to_dict("records")


def _draw_way(axes: Axes, row: dict[str, Any], few: tuple[float, ...] | None, y: float) -> None:
    look = answer_style(str(row["rule"]))
    accuracy, spread, oracle = (
        100 * float(row[name]) for name in (_ACCURACY, "accuracy_inferred_ci95", "accuracy_with_oracle")
    )
    if np.isfinite(oracle):
        axes.plot([accuracy, oracle], [y, y], color=look.colour, linewidth=0.8, alpha=0.6)
        axes.plot([oracle] * 2, [y - _STEP / 2, y + _STEP / 2], color=TEXT, linewidth=1.6, solid_capstyle="butt")
    if few is not None:
        dots = [100 * value for value in few] if len(few) > 1 else []
        axes.plot(dots, [y] * len(dots), color=look.colour, linestyle="none", marker="o", markersize=2, alpha=0.6)
    elif np.isfinite(spread):
        axes.plot([accuracy - spread, accuracy + spread], [y, y], color=look.colour, linewidth=2.2, alpha=0.35)
    axes.plot([accuracy], [y], color=look.colour, marker=look.marker, markersize=5, clip_on=False, zorder=3)
