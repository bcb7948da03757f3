"""Sizes, axes and labels of the figures."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path

from benchmark.files import write_atomically
from benchmark.report.style import QUIET
from benchmark.results import metrics
from methods.names import printable

POINT = 1 / 72


LABEL_SIZE = 8.0


LINE = 11 * POINT

# Inches from a mark to its name.
_MARK = 0.14


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
    """`text` if it fits, else its beginning and end. For texts side by side, see labels.py."""
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


def write_title(figure: Figure, title: str) -> None:
    """Write the title of a figure at its upper left corner, where `draw_keys` leaves room for it."""
    wide, high = figure.get_size_inches()
    figure.text(0.1 / wide, 1 - 0.2 / high, title, size=9)


@dataclass(frozen=True)
class Key:
    """The place of a name with its mark below the title of a figure: its line, and inches from the left."""

    name: str
    line: int
    left: float


def place_keys(names: Sequence[str], width: float) -> list[Key]:
    """Places for names with their marks, in lines no wider than `width` inches; one or more."""
    keys: list[Key] = []
    line, left = 0, 0.1
    for name in names:
        needed = _MARK + text_inches(name)
        if left + needed > width and keys:
            line, left = line + 1, 0.1
        keys.append(Key(name, line, left))
        left += needed + 0.15
    return keys


def draw_keys(figure: Figure, keys: Sequence[Key], marks: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw names with their marks below the title of a figure.

    Args:
        figure: with room for them at its top.
        keys: their places.
        marks: name -> how Matplotlib draws its mark.
    """
    wide, high = figure.get_size_inches()
    for key in keys:
        y = 1 - (0.36 + LINE * key.line) / high
        look = {"markersize": 5, **marks[key.name]}
        figure.add_artist(Line2D([(key.left + 0.05) / wide], [y], **look))
        figure.text((key.left + _MARK) / wide, y, key.name, va="center_baseline")


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
        line: dict[str, Any] = {"color": QUIET, "linestyle": (0, (1, 2)), "linewidth": 0.9, "zorder": 1.5}
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
