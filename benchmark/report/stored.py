"""What each method stores after the stream, by kind."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from benchmark.report.labels import shorten_all
from benchmark.report.layout import (
    LINE,
    Frame,
    draw_keys,
    empty_figure,
    place_keys,
    text_inches,
    write_title,
)
from benchmark.report.style import STORED_COLOURS, TEXT
from benchmark.report.table import EMPTY, MINUS, WRITERS, bytes_text
from benchmark.results.run import Results
from benchmark.results.stored import KINDS, stored_kinds

TITLE = "Stored after the last task, by kind; beside each bar: what is beyond the backbone"

#: The colour of each kind.
COLOURS = dict(zip(KINDS, STORED_COLOURS, strict=True))

_BAR = 0.19


def draw_stored(results: Results) -> Figure:
    """A bar for each method that finished, of the bytes of each kind, and a dotted line at the size of the backbone."""
    parameters = results.parameters
    if parameters.empty:
        return empty_figure("No method finished the stream.")
    kinds = stored_kinds(parameters, results.manifest)
    kinds = kinds.loc[:, (kinds > 0).any()]
    labels = shorten_all([str(method) for method in kinds.index], 2.0)
    beyond = [_beyond(value) for value in parameters["stored_bytes"]]
    left = 0.15 + max(map(text_inches, labels))
    right = 0.2 + max(map(text_inches, beyond))
    width = max(2.5, 6.9 - left - right)
    keys = place_keys(list(kinds), left + width + right - 0.2)
    frame = Frame(
        width=width,
        height=_BAR * len(labels),
        left=left,
        bottom=0.45,
        right=right,
        top=0.42 + LINE * (1 + keys[-1].line),
    )
    figure, axes = frame.axes()
    write_title(figure, TITLE)
    places = np.arange(len(labels))[::-1]
    start = np.zeros(len(labels))
    for kind in kinds:
        size = kinds[kind].to_numpy()
        axes.barh(places, size, left=start, height=0.7, color=COLOURS[kind], linewidth=0)
        start += size
    for place, end, text in zip(places, start, beyond, strict=True):
        axes.annotate(text, (end, place), (3, 0), textcoords="offset points", va="center_baseline")
    backbone = results.manifest.get("backbone", {}).get("bytes")
    if backbone:
        axes.axvline(backbone, color=TEXT, linestyle=(0, (1, 2)), linewidth=0.9)
    axes.set_xlim(0, 1.02 * start.max() or 1)
    axes.set_xlabel("Bytes" + ", dotted: the backbone" * bool(backbone))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: bytes_text(tick)))
    axes.set_yticks(places, labels)
    axes.set_ylim(-0.6, len(labels) - 0.4)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    draw_keys(figure, keys, {kind: {"color": COLOURS[kind], "marker": "s"} for kind in kinds})
    return figure


def _beyond(value: float) -> str:
    return EMPTY if math.isnan(value) else WRITERS["signed bytes"](value).replace("-", MINUS)
