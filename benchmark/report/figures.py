"""The figures of a run, as SVG and PNG.

Layout is in inches and computed here, because a figure of 25 methods needs another size than one of three, and because
Matplotlib's own layout engines and tight boxes draw everything twice. Every function takes accuracies as fractions and
draws percent.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from benchmark import metrics
from benchmark.blocks import Block, block_means, factors_of, repetitions_of
from benchmark.files import write_atomically
from benchmark.report.style import QUIET, RC, method_style
from benchmark.text import printable

POINT = 1 / 72
LABEL_SIZE = 8.0
LINE = 11 * POINT

#: What is drawn in place of the first task's accuracy over several orders, in each of which another task is the first.
FIRST_TASK_DROP = "What the first task of each order has lost since it was learned (pp)"

NAMES = (
    "first_task_accuracy",
    "average_accuracy",
    "accuracy_vs_parameters",
    "accuracy_vs_compute",
    "accuracy_matrix",
)


def draw_figures(
    accuracy: pd.DataFrame,
    summary: pd.DataFrame,
    compute: pd.DataFrame,
    tasks: pd.DataFrame,
    folder: Path,
) -> list[Path]:
    """Draw every figure of NAMES into `folder` as .svg and .png; the same frames give the same bytes.

    Args:
        accuracy, summary, compute, tasks: the rows of the CSV files of these names. A method that failed
            may be missing from any but `summary`, whose order is the order of the labels.
        folder: made if it is not there.

    Returns:
        The files written.
    """
    folder.mkdir(exist_ok=True)
    names = [printable(str(name)) for name in tasks["task_name"]]
    factors = factors_of(repetitions_of(accuracy))
    first, title = metrics.first_task_curve, f"Accuracy on the first task, {names[0]} (%)"
    if "order" in factors:
        # In each order another task stands in a place, so that the places are all there is to name.
        names = [f"task {place}" for place in range(1, len(names) + 1)]
        first, title = metrics.first_task_drop_curve, FIRST_TASK_DROP
    with mpl.rc_context(RC):
        runs = drawn_runs(accuracy, [str(method) for method in summary["method"]], len(names))
        figures = (
            _curves(runs, first, title, factors[0]),
            _curves(
                runs, metrics.average_accuracy_curve, "Average accuracy on the tasks learned so far (%)", factors[0]
            ),
            _accuracy_vs_parameters(summary),
            _accuracy_vs_compute(summary, compute),
            _matrices(runs, names),
        )
        return [path for name, figure in zip(NAMES, figures, strict=True) for path in save_figure(figure, folder, name)]


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


# What is drawn


@dataclass(frozen=True)
class DrawnRun:
    """One method's accuracy matrices.

    Attributes:
        matrices: float [blocks, T, T], fractions, NaN where not evaluated: the mean of each block's repetitions.
        learned: how many tasks these repetitions learned.
        repetitions: float [T, T], the matrix of each.
        factors: what the repetitions of the whole run differ in; a block is one of the first.
    """

    method: str
    matrices: metrics.Array
    learned: int
    repetitions: Mapping[metrics.Repetition, metrics.Array]
    factors: Sequence[Block]

    @property
    def label(self) -> str:
        tasks = self.matrices.shape[-1]
        return self.method if self.learned == tasks else f"{self.method} ({self.learned} of {tasks} tasks)"


def drawn_runs(accuracy: pd.DataFrame, methods: Sequence[str], tasks: int) -> list[DrawnRun]:
    """The methods that learned a task at all.

    Of each, the repetitions that got furthest: a mean over others at every point would move by itself.
    """
    runs, factors = [], factors_of(repetitions_of(accuracy))
    for method in methods:
        rows = accuracy[accuracy["method"] == method]
        if rows.empty:
            continue
        furthest = int(rows["learned"].max())
        matrices = {
            repetition: R
            for repetition, R in metrics.accuracy_matrices(rows, tasks).items()
            if np.isfinite(R[furthest - 1, 0])
        }
        # Curves and matrices are linear, so that those of a block's mean are the means of the block.
        means = np.stack(list(block_means(matrices, factors[0]).values()))
        runs.append(DrawnRun(method, means, furthest, matrices, factors))
    return runs


# Text and layout


def text_inches(text: str, size: float = LABEL_SIZE) -> float:
    """Width of one line of text, in inches."""
    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=size), ismath=False)
    return float(width) * POINT


def shorten(text: str, inches: float, size: float = LABEL_SIZE) -> str:
    """`text` if it fits, else its beginning and end: what tells two variants apart stands at the end."""
    text = shown = printable(text)
    keep = len(text)
    while text_inches(shown, size) > inches and keep > 2:
        keep -= 1
        shown = text[: keep - keep // 2] + "…" + text[len(text) - keep // 2 :]
    return shown


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions at least `gap` apart, between `low` and `high`, in the order of `wanted` and as near to it as can be.

    The least-squares answer: with i * gap taken off the i-th, positions need only not decrease, which is isotonic
    regression (pool adjacent violators). What does not fit overruns `high`.
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
    """Boxes for the labels of points: near their points, inside `area`, on no other label and on no point.

    Greedy, from the top down: each label takes the cheapest free place in the rings around its point, where a place
    costs its distance, and more if it could be read as another point's. Where nothing is free, right of the point.

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
            cost = reach + 0.15 * _rivals(points, k, box)
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
        # Not straight up or down: methods of equal cost stand above one another.
        for angle in (0, 180, 25, -25, 155, -155, 60, -60, 120, -120):
            across, up = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            # The label's nearest edge, not its middle, is what lies `reach` away.
            left = x + reach * across - width * (1 - across) / 2
            bottom = y + reach * up - height * (1 - up) / 2
            places.append((reach, (left, bottom, left + width, bottom + height)))
    return places


def _rivals(points: Sequence[Point], k: int, box: Box) -> int:
    """How many other points a label of the k-th could be taken for: as near to it, or on the line to it."""
    own = points[k]
    end = _nearest(own, box)
    middle = (own[0] + end[0]) / 2, (own[1] + end[1]) / 2
    near = math.dist(own, end) + 0.02
    return sum(
        math.dist(other, _nearest(other, box)) < near or math.dist(other, middle) < 0.05
        for j, other in enumerate(points)
        if j != k
    )


def _nearest(point: Point, box: Box) -> Point:
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
        return figure, _axes(figure, self.left, self.bottom, self.width, self.height)


def _axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def _nothing(message: str) -> Figure:
    figure = Figure(figsize=(3.4, 1))
    figure.text(0.5, 0.5, message, ha="center", va="center", color=QUIET)
    return figure


def _percent_limits(values: metrics.Array, least: float = 0.0) -> tuple[float, float]:
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


# Accuracy against tasks learned


def _curves(
    runs: Sequence[DrawnRun], curve: Callable[[metrics.Array], metrics.Array], title: str, block: Block
) -> Figure:
    """One line a method, with its name at the line's end and, over several blocks, a band from lowest to highest."""
    if not runs:
        return _nothing("No method finished a task.")
    values = [100 * np.stack([curve(R) for R in run.matrices]) for run in runs]
    tasks = values[0].shape[1]
    blocks = sorted({len(v) for v in values})
    count = f"{blocks[0]} to {blocks[-1]}" if len(blocks) > 1 else f"{blocks[0]}"
    note = f" (mean of {count} {block}s, band: lowest to highest)" if blocks[-1] > 1 else ""
    labels = [shorten(run.label, 2.3) for run in runs]

    key = 0.3
    gutter = 0.22 if len(runs) <= 12 else 0.4
    names = max(text_inches(label) for label in labels)
    frame = Frame(
        width=max(3.0, 6.5 - gutter - key - names) if tasks > 1 else 3.0,
        height=max(2.6, len(runs) * LINE),
        left=0.4,
        bottom=0.45,
        right=gutter + key + names + 0.1,
        top=0.35,
    )
    figure, axes = frame.axes()
    axes.set_title(title, x=-0.3 / frame.width)
    axes.set_xlabel(f"Tasks learned{note}")
    axes.grid(axis="x", visible=False)
    drawn = np.concatenate([v.ravel() for v in values])
    # What a task has lost, unlike an accuracy, can be below zero.
    low, high = _percent_limits(drawn, least=-100.0 if np.nanmin(drawn) < 0 else 0.0)
    axes.set_ylim(low, high)
    first, last = (1.0, float(tasks)) if tasks > 1 else (0.5, 1.5)
    axes.set_xlim(first, last)
    axes.set_xticks(numbers_shown(tasks))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))

    x = np.arange(1, tasks + 1)
    across, up = (last - first) / frame.width, (high - low) / frame.height
    ends = [float(v[:, run.learned - 1].mean()) for run, v in zip(runs, values, strict=True)]
    heights = spread(ends, LINE * up, low, high)
    for k, (run, value) in enumerate(zip(runs, values, strict=True)):
        look = method_style(run.method)
        # With many tasks a marker at every point is a caterpillar; staggered, they do not hide one another.
        every = max(1, tasks // 8)
        axes.plot(
            x,
            value.mean(axis=0),
            color=look.colour,
            linestyle=look.dash,
            marker=look.marker,
            markevery=(k % every, every),
            clip_on=False,
            zorder=3,
        )
        if len(value) > 1:
            axes.fill_between(x, value.min(axis=0), value.max(axis=0), color=look.colour, alpha=0.12, linewidth=0)
        label_x = last + gutter * across
        axes.plot(
            [run.learned, last, label_x],
            [ends[k], ends[k], heights[k]],
            color=look.colour,
            linewidth=0.5,
            clip_on=False,
            zorder=2,
        )
        axes.plot(
            [label_x, label_x + (key - 0.06) / 2 * across, label_x + (key - 0.06) * across],
            [heights[k]] * 3,
            color=look.colour,
            linestyle=look.dash,
            marker=look.marker,
            markevery=[1],
            clip_on=False,
        )
        axes.text(label_x + key * across, heights[k], labels[k], va="center_baseline")
    return figure


# Accuracy against cost


def _accuracy_vs_parameters(summary: pd.DataFrame) -> Figure:
    points = summary[["method", "average_accuracy", "average_accuracy_ci95", "stored_percent"]]
    return _scatter(points, "Stored beyond the backbone after the stream (% of the backbone)")


def _accuracy_vs_compute(summary: pd.DataFrame, compute: pd.DataFrame) -> Figure:
    points = summary[["method", "average_accuracy", "average_accuracy_ci95"]].merge(
        compute[["method", "normalized_compute"]], on="method"
    )
    return _scatter(points, "Training compute (fine-tuning = 1)")


def _scatter(points: pd.DataFrame, xlabel: str) -> Figure:
    """One labelled point a method; `points` has method, average_accuracy, its ci95, and the cost."""
    points = points.dropna(subset=["average_accuracy", points.columns[-1]])
    if points.empty:
        return _nothing("No method finished the stream.")
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
    axes.set_title(f"Average accuracy after the last task (%{bars})", x=-0.3 / frame.width)
    axes.set_xlabel(xlabel)
    _cost_axis(axes, x)
    low, high = _percent_limits(np.concatenate([y - np.nan_to_num(ci), y + np.nan_to_num(ci)]))
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
        end = _nearest((px, py), box)
        if math.dist(end, (px, py)) > 0.11 or _rivals(where, k, box):
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
    """Set the x axis for costs `x`, none negative: linear from zero while they are comparable, else logarithmic.

    A logarithmic axis keeps a place for zero at its left where a method costs nothing.
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


# Accuracy matrices


def _matrices(runs: Sequence[DrawnRun], names: Sequence[str]) -> Figure:
    """One panel a method: a row after each task learned, a column for each task evaluated, blank where it was not."""
    if not runs:
        return _nothing("No method finished a task.")
    tasks = len(names)
    written = tasks <= 12
    named = written or (tasks <= 20 and len(runs) <= 4)
    shown = [shorten(name, 0.95) for name in names]
    if named:
        panel = max(1.05, tasks * (0.225 if written else 0.125))
        margin = 0.1 + max(text_inches(name) for name in shown)
    else:
        panel = 1.9 if len(runs) <= 9 else 1.05
        margin = 0.3
    gap, title = 0.14, 0.22
    # Where the values are written, the scale of colours would say them again.
    bar = 0.1 if written else 0.55
    columns = min(len(runs), max(1, int((7.05 - 0.25 - margin - bar + gap) / (panel + gap))))
    rows = math.ceil(len(runs) / columns)
    left, bottom = 0.25 + margin, margin + 0.25
    width, height = columns * (panel + gap) - gap, rows * (panel + title + gap) - gap

    figure = Figure(figsize=(left + width + bar, bottom + height + 0.1))
    across, up = figure.get_size_inches()
    scale = Normalize(0, 100)
    colours = mpl.colormaps["viridis"]
    for k, run in enumerate(runs):
        row, column = divmod(k, columns)
        R = 100 * run.matrices.mean(axis=0)
        axes = _axes(
            figure,
            left + column * (panel + gap),
            bottom + (rows - 1 - row) * (panel + title + gap),
            panel,
            panel,
        )
        axes.set_title(shorten(run.label, panel + gap - 0.06), fontsize=LABEL_SIZE, pad=3)
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
    figure.text((left + width / 2) / across, 0.06 / up, "accuracy (%) on", ha="center", fontsize=9)
    if not written:
        tall = min(height - title, 2.0)
        place = _axes(figure, left + width + 0.12, bottom + height - title - tall, 0.09, tall)
        colorbar = figure.colorbar(image, cax=place)
        colorbar.outline.set_visible(False)
        place.set_title("%", fontsize=LABEL_SIZE, pad=3)
    return figure


def _task_ticks(axes: Axes, names: Sequence[str] | None, tasks: int, *, outer_left: bool, outer_bottom: bool) -> None:
    """Task names, or numbers where there are too many for names, on the outer panels only."""
    if names is None:
        ticks = [number - 1 for number in numbers_shown(tasks)]
        labels = [str(tick + 1) for tick in ticks]
    else:
        ticks, labels = list(range(tasks)), list(names)
    axes.set_xticks(ticks, labels if outer_bottom else [""] * len(ticks), rotation=90 if names else 0)
    axes.set_yticks(ticks, labels if outer_left else [""] * len(ticks))
    axes.tick_params(length=0 if names else 2, pad=2)
