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


#: How figures name the dotted line of the chance level.
CHANCE = "dotted: chance"


def draw_chance(axes: Axes, curves: Sequence[metrics.Array]) -> None:
    """Draw chance levels, fractions [T] over the tasks learned or [1] for a level line; the limits stay as they are."""
    for curve in curves:
        line = {"color": QUIET, "linestyle": (0, (1, 2)), "linewidth": 0.9, "zorder": 1.5}
        if len(curve) == 1:
            axes.axhline(100 * curve[0], **line)
        else:
            axes.plot(np.arange(1, len(curve) + 1), 100 * curve, scalex=False, scaley=False, **line)


def shown_chance(curves: Sequence[metrics.Array], limits: tuple[float, float]) -> list[metrics.Array]:
    """Those chance levels of which a part is within an axis, whose limits are in percent."""
    return [curve for curve in curves if ((100 * curve >= limits[0]) & (100 * curve <= limits[1])).any()]


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
