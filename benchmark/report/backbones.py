"""One method on several backbones: the table that is made from their runs, and its figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmark.report.fonts import drawing
from benchmark.report.labels import shorten_all
from benchmark.report.latex import latex
from benchmark.report.layout import Frame, save_figure, shorten, text_inches
from benchmark.report.markdown import markdown
from benchmark.report.style import TEXT, method_style
from benchmark.report.table import Table
from benchmark.report.tables import backbones_display
from benchmark.results.columns import names_of
from benchmark.results.repeated import Repeated
from benchmark.results.run import Results
from benchmark.storage.folder import RunFolder
from methods.options import parse_spec

COLUMNS = ("backbone", "pretraining", *names_of("backbones"))

_BAR = 0.22


def write_comparison(folder: Path, runs: Sequence[tuple[Results, str]]) -> Table:
    """Write backbones.csv, backbones.md, backbones.tex and the figure backbones.svg and .png.

    Args:
        folder: to write to.
        runs: the results and the backbone's pretraining of each run; all are finished and have the same single method.

    Returns:
        The table as a reader sees it.
    """
    rows = pd.DataFrame([_row(run, pretraining) for run, pretraining in runs], columns=list(COLUMNS))
    (method,) = {label for run, _ in runs for label in run.manifest.labels}
    # The next column says what the weights are.
    shown = rows.assign(backbone=rows["backbone"].map(_without_weights))
    repeated: Repeated = {
        (str(row["backbone"]), str(row["pretraining"]), column): run.repeated[method, column]
        for row, (run, _) in zip(shown.to_dict("records"), runs, strict=True)
        for column in COLUMNS
        if (method, column) in run.repeated
    }
    table = backbones_display(shown, method, repeated)
    out = RunFolder(folder)
    out.write_csv("backbones", rows)
    out.write_text("backbones.md", markdown(table))
    out.write_text("backbones.tex", f"% \\usepackage{{booktabs}}\n{latex(table)}")
    with drawing([method, *shown["backbone"], *shown["pretraining"]]):
        own = [run.repeated.get((method, "average_accuracy")) for run, _ in runs]
        save_figure(_bars(shown, method, own), folder, "backbones")
    return table


def _row(run: Results, pretraining: str) -> dict[str, object]:
    """What the tables of a run say about its only method."""
    known: dict[str, object] = {}
    for frame in (run.compute, run.parameters, run.summary):
        # A method that failed is only in the summary.
        known |= {} if frame.empty else frame.iloc[0].to_dict()
    return known | {"backbone": run.manifest.backbone["spec"], "pretraining": pretraining}


def _without_weights(text: str) -> str:
    spec = parse_spec(text)
    return ":".join([spec.name, *(f"{k}={v}" for k, v in spec.options.items() if k not in ("weights", "sha256"))])


def _bars(rows: pd.DataFrame, method: str, repeated: Sequence[Sequence[float] | None]) -> Figure:
    """One bar per backbone, from top to bottom in the order of the table, with its value and its interval.

    Args:
        rows: of backbones.csv.
        method: the label.
        repeated: of each row, the accuracies of its repetitions if they are too few for an interval; else None.
    """
    values = 100 * rows["average_accuracy"].to_numpy(dtype=float)
    few = [own is not None for own in repeated]
    spreads = np.where(few, np.nan, 100 * rows["average_accuracy_ci95"].to_numpy(dtype=float))
    named = zip(rows["backbone"], rows["pretraining"], strict=True)
    labels = shorten_all([f"{backbone}, {pretraining}" for backbone, pretraining in named], 3.2)
    frame = Frame(
        width=3.2,
        height=max(0.5, _BAR * len(rows)),
        left=0.15 + max(map(text_inches, labels)),
        bottom=0.2,
        right=0.45,
        top=0.35,
    )
    figure, axes = frame.axes()
    note = ", lines: 95 % confidence" if np.isfinite(spreads).any() else ""
    note += ", dots: repetitions" if any(len(own or ()) > 1 for own in repeated) else ""
    axes.set_title(f"Average accuracy of {shorten(method, 1.5)} (%{note})", x=-(frame.left - 0.1) / frame.width)
    places = np.arange(len(rows))[::-1]
    axes.barh(places, np.nan_to_num(values), height=0.65, color=method_style(method).colour, alpha=0.75)
    axes.errorbar(values, places, xerr=np.nan_to_num(spreads), fmt="none", ecolor=TEXT, elinewidth=0.8)
    ends = np.nan_to_num(spreads)
    for k, own in enumerate(repeated):
        if own and len(own) > 1:
            dots = 100 * np.array(own)
            axes.plot(dots, [places[k]] * len(dots), color=TEXT, linestyle="none", marker="o", markersize=2.5)
            ends[k] = dots.max() - values[k] + 1
    for place, value, spread in zip(places, values, ends, strict=True):
        text = "failed" if np.isnan(value) else f"{value:.1f}"
        axes.annotate(text, (np.nan_to_num(value) + spread, place), (3, 0), textcoords="offset points", va="center")
    axes.set_yticks(places, labels)
    axes.set_ylim(-0.5, len(rows) - 0.5)
    axes.set_xlim(0, 100)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    return figure
