"""Curves of accuracy over the tasks learned."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmark.report.labels import shorten_all
from benchmark.report.layout import (
    CHANCE,
    LINE,
    Frame,
    draw_chance,
    empty_figure,
    numbers_shown,
    percent_limits,
    shown_chance,
    spread,
    text_inches,
)
from benchmark.report.style import method_style
from benchmark.results import metrics
from benchmark.results.blocks import Block
from benchmark.results.matrices import DrawnRun
from benchmark.results.repeated import FEWEST_BLOCKS


def draw_curves(
    runs: Sequence[DrawnRun],
    curve: Callable[[metrics.Array], metrics.Array],
    title: str,
    block: Block,
    chance: Sequence[metrics.Array] = (),
) -> Figure:
    """One line per method, with its name at the line's end.

    Over several blocks a line is their mean: with a thin line for each block, or with a band from the lowest to the
    highest if there are enough blocks for an interval.

    Args:
        runs: the methods.
        curve: of an accuracy matrix.
        title: of the figure.
        block: what a block is.
        chance: the chance levels after each task learned.
    """
    if not runs:
        return empty_figure("No method finished a task.")
    values = [100 * np.stack([curve(R) for R in run.matrices]) for run in runs]
    tasks = values[0].shape[1]
    blocks = sorted({len(v) for v in values})
    count = f"{blocks[0]} to {blocks[-1]}" if len(blocks) > 1 else f"{blocks[0]}"
    spreads = []
    if any(1 < number < FEWEST_BLOCKS for number in blocks):
        spreads.append(f"thin: each {block}")
    if blocks[-1] >= FEWEST_BLOCKS:
        spreads.append("band: lowest to highest")
    notes = [f"mean of {count} {block}s", *spreads] if spreads else []
    labels = shorten_all([run.label for run in runs], 2.3)

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
    axes.grid(axis="x", visible=False)
    drawn = np.concatenate([v.ravel() for v in values])
    # An accuracy is never below zero, but the drop of a task can be.
    low, high = percent_limits(drawn, least=-100.0 if np.nanmin(drawn) < 0 else 0.0)
    axes.set_ylim(low, high)
    levels = shown_chance(chance, (low, high))
    draw_chance(axes, levels)
    notes += [CHANCE] * bool(levels)
    axes.set_xlabel("Tasks learned" + f" ({', '.join(notes)})" * bool(notes))
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
        # With many tasks, a marker at every point would hide the line. Staggered markers do not hide each other.
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
        if 1 < len(value) < FEWEST_BLOCKS:
            axes.plot(x, value.T, color=look.colour, linestyle=look.dash, linewidth=0.5, alpha=0.45, zorder=2)
        elif len(value) > 1:
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
