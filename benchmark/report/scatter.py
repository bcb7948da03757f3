"""Accuracy against cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import textalloc
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from benchmark.report.labels import shorten_all
from benchmark.report.layout import (
    CHANCE,
    LABEL_SIZE,
    Frame,
    draw_chance,
    empty_figure,
    percent_limits,
    shown_chance,
)
from benchmark.report.points import Point, points_of
from benchmark.report.style import TEXT, method_style
from benchmark.results import metrics
from benchmark.results.run import Results

# In inches: no figure grows beyond it, whatever its labels.
_HIGHEST = 12

STORAGE = "Stored beyond the backbone after the stream (% of the backbone)"
COMPUTE = "Training compute (fine-tuning = 1)"

# First to the side of a point, because methods of equal cost are above one another.
_DIRECTIONS = ["east", "west", "northeast", "southeast", "northwest", "southwest", "north", "south"]
# The size of a point's marker, in points.
_MARKER = 6
# Inches that a label stays away from its point.
_GAP = 0.06


def draw_scatter(results: Results, cost: str, xlabel: str, scenario: str = "") -> Figure:
    """Average accuracy after the last task against a cost: a labelled point for each method.

    Labels are placed by textalloc. If one finds no free place, the figure is made higher.

    Args:
        results: of the run.
        cost: a column of summary.csv.
        xlabel: says what it is.
        scenario: is added to the title.
    """
    points = points_of(results, cost)
    if not points:
        return empty_figure("No method finished the stream.")
    levels = [curve[-1:] for curve in results.chance.curves]
    height = max(2.8, 0.19 * len(points))
    while True:
        figure, free = _attempt(points, levels, height, xlabel, scenario)
        if free or height > _HIGHEST:
            return figure
        height *= 1.25


def _attempt(
    points: Sequence[Point], levels: Sequence[metrics.Array], height: float, xlabel: str, scenario: str
) -> tuple[Figure, bool]:
    """The figure of this height, in inches, and whether there was a free place for each label."""
    frame = Frame(width=6.3 if len(points) > 8 else 4.4, height=height, left=0.4, bottom=0.48, right=0.15, top=0.35)
    figure, axes = frame.axes()
    axes.set_xlabel(xlabel)
    _cost_axis(axes, np.array([spot.cost for point in points for spot in point.spots]))
    reach = [np.nan_to_num(point.interval) * sign + point.main.accuracy for point in points for sign in (-1, 1)]
    reach += [accuracy for point in points for accuracy in (*point.repeated, *(spot.accuracy for spot in point.spots))]
    limits = percent_limits(100 * np.array(reach))
    axes.set_ylim(*limits)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    levels = shown_chance(levels, limits)
    draw_chance(axes, levels)
    marks = ", ".join(_marks(points) + [CHANCE] * bool(levels))
    axes.set_title(f"Average accuracy after the last task ({marks}){scenario}", x=-0.3 / frame.width)
    for point in points:
        _draw(axes, point)
    return figure, _label(axes, points, frame)


def _marks(points: Sequence[Point]) -> list[str]:
    """What the marks of a scatter mean."""
    marks = ["%"]
    if any(math.isfinite(point.interval) for point in points):
        marks.append("bars: 95 % confidence")
    if any(point.repeated for point in points):
        marks.append("dots: repetitions")
    if not all(spot.oracle for point in points for spot in point.spots):
        marks.append("hollow: without the task oracle")
    return marks


def _draw(axes: Axes, point: Point) -> None:
    look = method_style(point.method)
    x, y = point.main.cost, 100 * point.main.accuracy
    if math.isfinite(point.interval):
        half = 100 * point.interval
        axes.plot([x, x], [y - half, y + half], color=look.colour, lw=0.8, alpha=0.6)
    dots = [100 * accuracy for accuracy in point.repeated]
    axes.plot([x] * len(dots), dots, color=look.colour, linestyle="none", marker="o", markersize=2, alpha=0.6)
    axes.plot([spot.cost for spot in point.spots], [100 * spot.accuracy for spot in point.spots], c=look.colour, lw=0.6)
    for spot in point.spots:
        fill = look.colour if spot.oracle else "white"
        axes.plot(
            [spot.cost],
            [100 * spot.accuracy],
            color=look.colour,
            marker=look.marker,
            markersize=_MARKER,
            markerfacecolor=fill,
            markeredgewidth=0.5 if spot.oracle else 1,
            zorder=3,
        )


def _label(axes: Axes, points: Sequence[Point], frame: Frame) -> bool:
    """Write the name of each method near its main point; whether there was a free place for each of them.

    If labels find no place that no line to another label crosses, they may stand further away, and on such lines. A
    place is not free either if the line to it runs through the marker of another point.
    """
    near, far = (0.3, 400, True), (0.6, 2000, False)
    for max_distance, candidates, apart in (near, far):
        texts, lines = _allocated(axes, points, frame, max_distance, candidates, apart)
        if None not in texts and not _run_through(axes, points, lines):
            return True
        for artist in filter(None, [*texts, *lines]):
            artist.remove()
    _allocated(axes, points, frame, *far, everything=True)
    return False


def _run_through(axes: Axes, points: Sequence[Point], lines: Sequence[Line2D | None]) -> bool:
    """Whether a line from a point to its name runs through the marker of another point."""
    places = axes.transData.transform([(spot.cost, 100 * spot.accuracy) for point in points for spot in point.spots])
    radius = _MARKER / 2 * axes.figure.dpi / 72
    for point, line in zip(points, lines, strict=True):
        if line is None:
            continue
        own = axes.transData.transform((point.main.cost, 100 * point.main.accuracy))
        start, end = axes.transData.transform(np.column_stack(line.get_data()))
        along = end - start
        share = ((places - start) @ along / max(float(along @ along), 1e-9)).clip(0, 1)
        away = np.linalg.norm(start + share[:, None] * along - places, axis=1)
        others = np.linalg.norm(places - own, axis=1) > radius
        if (away[others] < radius).any():
            return True
    return False


def _allocated(
    axes: Axes,
    points: Sequence[Point],
    frame: Frame,
    max_distance: float,
    candidates: int,
    apart: bool,
    everything: bool = False,
) -> tuple[list[Text | None], list[Line2D | None]]:
    """Write the names where they hide neither a point nor one another.

    Args:
        axes: with all points.
        points: the methods.
        frame: of the axes.
        max_distance: how far from its point a name may stand, as a share of the width.
        candidates: how many places are tried for a name.
        apart: whether a name keeps away from the lines to other names.
        everything: whether names are also written if there is no such place.

    Returns:
        The names and their lines; None for each that is not written.
    """
    spots = [spot for point in points for spot in point.spots]
    pairs = [point.spots for point in points if point.other]
    # In pixels: half a marker.
    obstacles: dict[str, Any] = {"scatter_sizes": [0.045 * axes.figure.dpi] * len(spots)}
    if pairs:
        obstacles["x_lines"] = [[spot.cost for spot in pair] for pair in pairs]
        obstacles["y_lines"] = [[100 * spot.accuracy for spot in pair] for pair in pairs]
    _, _, texts, lines = textalloc.allocate(
        axes,
        [point.main.cost for point in points],
        [100 * point.main.accuracy for point in points],
        shorten_all([point.method for point in points], 2.3),
        x_scatter=[spot.cost for spot in spots],
        y_scatter=[100 * spot.accuracy for spot in spots],
        **obstacles,
        textsize=LABEL_SIZE,
        textcolor=TEXT,
        linecolor=[method_style(point.method).colour for point in points],
        linewidth=0.6,
        min_distance=_GAP / (frame.left + frame.width + frame.right),
        max_distance=max_distance,
        margin=0.003,
        nbr_candidates=candidates,
        direction=_DIRECTIONS,
        avoid_label_lines_overlap=apart,
        draw_all=everything,
        va="center",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.3},
    )
    return cast("list[Text | None]", texts), cast("list[Line2D | None]", lines)


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
