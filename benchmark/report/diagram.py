"""The critical-difference diagram: mean ranks, and which methods the tests cannot tell apart.

Demsar (2006, JMLR 7) draws it with one critical difference of mean ranks, Nemenyi's. Here the marks follow the tests
in statistics.csv. So the diagram calls nothing significant that is not significant there, and whether two methods
differ does not depend on the ranks of the others (why that matters: Benavoli, Corani & Mangili, 2016, JMLR 17). If
every two methods were tested, bars join those that do not differ. If each was tested only with the reference, marks
below the axis show which do not differ from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmark.report.fonts import drawing
from benchmark.report.labels import shorten_all
from benchmark.report.layout import LABEL_SIZE, Frame, numbers_shown, save_figure, text_inches
from benchmark.report.style import QUIET, TEXT, method_style
from benchmark.results.paired_tests import ALPHA, Statistics
from benchmark.results.reference import ALL_PAIRS

NAME = "critical_difference"

_ROW = 0.2
_BAR = 0.12
# An SVG shows several ordinary spaces as one.
_GAP = "\N{EN SPACE}"


def draw_critical_difference(statistics: Statistics, folder: Path, scenario: str = "") -> list[Path]:
    """Draw the diagram into `folder` as .svg and .png, if there are three methods and enough blocks to tell any apart.

    Otherwise a diagram that was drawn before is removed.

    Args:
        statistics: of the run.
        folder: made if it does not exist.
        scenario: what the title says of the scenario.

    Returns:
        The files written.
    """
    if not statistics.decidable or len(statistics.ranks) < 3:
        for kind in ("svg", "png"):
            (folder / f"{NAME}.{kind}").unlink(missing_ok=True)
        return []
    folder.mkdir(exist_ok=True)
    with drawing(map(str, statistics.ranks["method"])):
        return save_figure(_diagram(statistics, scenario), folder, NAME)


def joined(statistics: Statistics) -> list[tuple[int, int]]:
    """The bars: each from a method to the last, in the table of ranks, that does not differ significantly from it.

    Two methods without a common bar differ significantly. The opposite is not always true: if tests and ranks
    disagree, a bar also passes over methods that do differ.

    Returns:
        (first, last) places in the table, from 0, without bars that lie within others.
    """
    place = {method: k for k, method in enumerate(statistics.ranks["method"])}
    reach = list(range(len(place)))
    for pair in statistics.pairs.itertuples():
        first, last = sorted((place[pair.method_a], place[pair.method_b]))
        if not pair.significant:
            reach[first] = max(reach[first], last)
    return [(first, last) for first, last in enumerate(reach) if last > max([first, *reach[:first]])]


def alike(statistics: Statistics) -> list[str]:
    """The methods that do not differ significantly from the reference, without the reference itself."""
    pairs = statistics.pairs
    same = pairs[~pairs["significant"].astype(bool)]
    return [str(method) for method in [*same["method_a"], *same["method_b"]] if method != statistics.reference]


def explanation(statistics: Statistics) -> str:
    """What the marks of the diagram mean, in a sentence."""
    if statistics.reference == ALL_PAIRS:
        return "Two methods that no bar joins differ significantly"
    return f"Methods with a dot below the axis do not differ significantly from {statistics.reference} (square)"


def stacked(spans: Sequence[tuple[float, float]], gap: float) -> list[int]:
    """The lowest level for each bar, from 0, so that bars on one level are at least `gap` apart.

    Args:
        spans: (left, right) of the bars, sorted by their left ends.
    """
    ends: list[float] = []
    levels = []
    for left, right in spans:
        level = next((k for k, end in enumerate(ends) if left - end >= gap), len(ends))
        ends[level : level + 1] = [right]
        levels.append(level)
    return levels


def _diagram(statistics: Statistics, scenario: str) -> Figure:
    """The axis of ranks with the best at the left, bars below it, and a line from each rank to the method's name."""
    methods = [str(method) for method in statistics.ranks["method"]]
    ranks = [float(rank) for rank in statistics.ranks["mean_rank"]]
    count = len(methods)
    left_rows = (count + 1) // 2
    labels = shorten_all(methods, 1.6)
    numbers = text_inches(f"{_GAP}{count:.2f}")
    left = 0.2 + numbers + max(text_inches(label) for label in labels[:left_rows])
    right = 0.2 + numbers + max(text_inches(label) for label in labels[left_rows:])
    width = max(2.6, 6.9 - left - right)
    across = (count - 1) / width

    bars = joined(statistics) if statistics.reference == ALL_PAIRS else []
    spans = [(ranks[first], ranks[last]) for first, last in bars]
    levels = stacked(spans, gap=0.15 * across)
    rows = max(levels, default=-1) + 1 if statistics.reference == ALL_PAIRS else 1
    below = 0.12 + _BAR * rows
    height = below + _ROW * left_rows
    frame = Frame(width=width, height=height, left=left, bottom=0.3, right=right, top=0.55)
    figure, axes = frame.axes()
    # The y axis is in inches below the axis of ranks.
    axes.set_ylim(height, 0)
    axes.set_xlim(1, count)
    axes.grid(visible=False)
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.spines["top"].set_visible(True)
    axes.xaxis.tick_top()
    axes.set_xticks(numbers_shown(count))
    wide, high = figure.get_size_inches()
    title = f"Mean rank by average accuracy over {statistics.counted(statistics.blocks)} (1 is best){scenario}"
    figure.text(0.1 / wide, 1 - 0.2 / high, title, size=9)
    note = f"{explanation(statistics)} (signed-rank test, Holm's correction, {ALPHA})."
    figure.text(0.1 / wide, 0.08 / high, note, color=QUIET)

    for k, (method, rank, label) in enumerate(zip(methods, ranks, labels, strict=True)):
        look = method_style(method)
        row = k if k < left_rows else count - 1 - k
        y = below + _ROW * (row + 0.5)
        # The line ends a little outside, and the text begins a little further out.
        edge, out, side = (1, -across, "right") if k < left_rows else (count, across, "left")
        axes.plot([rank, rank, edge + 0.03 * out], [0, y, y], color=look.colour, linewidth=0.9, clip_on=False)
        axes.plot([rank], [0], color=look.colour, marker=look.marker, clip_on=False, zorder=4)
        words = (label, f"{rank:.2f}") if k < left_rows else (f"{rank:.2f}", label)
        axes.text(edge + 0.07 * out, y, _GAP.join(words), ha=side, va="center_baseline", size=LABEL_SIZE)
    if statistics.reference != ALL_PAIRS:
        places = dict(zip(methods, ranks, strict=True))
        dots = [places[method] for method in alike(statistics)]
        axes.plot(dots, [0.15] * len(dots), color=TEXT, linestyle="none", marker="o", markersize=5, zorder=5)
        axes.plot(places[statistics.reference], 0.15, color=TEXT, marker="s", markersize=5, zorder=5)
    for span, level in zip(spans, levels, strict=True):
        axes.plot(span, [0.12 + _BAR * level] * 2, color=TEXT, linewidth=3, zorder=5)
    return figure
