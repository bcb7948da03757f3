"""Sizes, axes and labels of the figures."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from benchmark.files import write_atomically
from benchmark.report.style import QUIET
from benchmark.results import metrics
from methods.names import printable

POINT = 1 / 72


LABEL_SIZE = 8.0


LINE = 11 * POINT


def save_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as .svg and .png; returns the files."""
    paths = []
    for kind, metadata in (("svg", {"Date": None}), ("png", None)):
        path = folder / f"{name}.{kind}"
        content = io.BytesIO()
        figure.savefig(content, format=kind, metadata=metadata)
        write_atomically(path, content.getvalue())
        paths.append(path)
    return paths


def text_inches(text: str, size: float = LABEL_SIZE) -> float:
    """Width of one line of text, in inches."""
    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=size), ismath=False)
    return float(width) * POINT


def shorten(text: str, inches: float, size: float = LABEL_SIZE) -> str:
    """`text` if it fits, else its beginning and end: the end is what tells two variants apart."""
    text = shown = printable(text)
    keep = len(text)
    while text_inches(shown, size) > inches and keep > 2:
        keep -= 1
        shown = text[: keep - keep // 2] + "…" + text[len(text) - keep // 2 :]
    return shown


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions between `low` and `high`, at least `gap` apart, in the order of `wanted` and as near to it as possible.

    This is the least-squares answer: after subtracting i * gap from the i-th, positions must only not decrease. That is
    isotonic regression (pool adjacent violators). What does not fit goes beyond `high`.
    """
    order = sorted(range(len(wanted)), key=lambda k: wanted[k])
    pools: list[tuple[float, int]] = []
    for i, k in enumerate(order):
        mean, size = wanted[k] - i * gap, 1
        while pools and pools[-1][0] > mean:
            before, count = pools.pop()
            mean, size = (before * count + mean * size) / (count + size), count + size
        pools.append((mean, size))
    level = [mean for mean, size in pools for _ in range(size)]
    ceiling = max(low, high - (len(wanted) - 1) * gap)
    placed = [0.0] * len(wanted)
    for i, k in enumerate(order):
        placed[k] = min(max(level[i], low), ceiling) + i * gap
    return placed


Point = tuple[float, float]


Box = tuple[float, float, float, float]


def place_labels(points: Sequence[Point], sizes: Sequence[tuple[float, float]], area: Box) -> list[Box]:
    """Boxes for the labels of points: near their points, inside `area`, without covering another label or a point.

    Greedy, from top to bottom: each label takes the cheapest free place in the rings around its point. A place costs
    its distance, and more if a reader could take it for another point's. If nothing is free: right of the point.

    Args:
        points: (x, y) in inches.
        sizes: (width, height) of the labels, in inches.
        area: (left, bottom, right, top) in inches.

    Returns:
        (left, bottom, right, top) of each label.
    """
    marker = 0.045
    taken = [(x - marker, y - marker, x + marker, y + marker) for x, y in points]
    boxes: list[Box] = [area] * len(points)
    for k in sorted(range(len(points)), key=lambda k: (-points[k][1], points[k][0])):
        places = _around(points[k], sizes[k])
        boxes[k] = places[0][1]
        least = math.inf
        for reach, box in places:
            if reach >= least:
                break
            if not _inside(box, area) or any(_overlap(box, other) for other in taken):
                continue
            cost = reach + 0.15 * rivals(points, k, box)
            if cost < least:
                boxes[k], least = box, cost
        taken.append(boxes[k])
    return boxes


def _around(point: Point, size: tuple[float, float]) -> list[tuple[float, Box]]:
    """Places for a label in rings around its point, nearest first, each with its distance."""
    x, y = point
    width, height = size
    places = []
    for ring in range(24):
        reach = 0.07 + 0.07 * ring
        # Not straight up or down: methods of equal cost are above one another.
        for angle in (0, 180, 25, -25, 155, -155, 60, -60, 120, -120):
            across, up = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            # `reach` is the distance of the label's nearest edge, not of its middle.
            left = x + reach * across - width * (1 - across) / 2
            bottom = y + reach * up - height * (1 - up) / 2
            places.append((reach, (left, bottom, left + width, bottom + height)))
    return places


def rivals(points: Sequence[Point], k: int, box: Box) -> int:
    """How many other points the k-th label could belong to: it is as near to them, or on the line to them."""
    own = points[k]
    end = nearest(own, box)
    middle = (own[0] + end[0]) / 2, (own[1] + end[1]) / 2
    near = math.dist(own, end) + 0.02
    return sum(
        math.dist(other, nearest(other, box)) < near or math.dist(other, middle) < 0.05
        for j, other in enumerate(points)
        if j != k
    )


def nearest(point: Point, box: Box) -> Point:
    """The place in a label's box nearest to `point`, a little inside so that a line to it meets the letters."""
    x, y = point
    return min(max(x, box[0]), box[2]), min(max(y, box[1] + 0.03), box[3] - 0.03)


def _inside(box: Box, area: Box) -> bool:
    return box[0] >= area[0] and box[1] >= area[1] and box[2] <= area[2] and box[3] <= area[3]


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@dataclass(frozen=True)
class Frame:
    """A plot's place on its figure, in inches."""

    width: float
    height: float
    left: float
    bottom: float
    right: float
    top: float

    def axes(self) -> tuple[Figure, Axes]:
        figure = Figure(figsize=(self.left + self.width + self.right, self.bottom + self.height + self.top))
        return figure, axes_at(figure, self.left, self.bottom, self.width, self.height)


def axes_at(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place on a figure, all in inches."""
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def empty_figure(message: str) -> Figure:
    """A figure that says why the real one is missing."""
    figure = Figure(figsize=(3.4, 1))
    figure.text(0.5, 0.5, message, ha="center", va="center", color=QUIET)
    return figure


def percent_limits(values: metrics.Array, least: float = 0.0) -> tuple[float, float]:
    """Round limits around `values`, in percent, within `least`..100 and at least 10 apart."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    low, high = max(least, math.floor((low - 1) / 5) * 5), min(100.0, math.ceil((high + 1) / 5) * 5)
    return (low, high) if high - low >= 10 else (max(least, high - 10), max(least + 10, high))


def numbers_shown(tasks: int) -> list[int]:
    """Which of the numbers 1, 2, ..., `tasks` to write on an axis: all, or the first and round ones."""
    if tasks <= 12:
        return list(range(1, tasks + 1))
    step = 5 if tasks <= 30 else 10
    return [1, *range(step, tasks + 1, step)]
