"""report.html: a run on one page that opens from disk, without a network and without a script."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.report.tables import Cell, Table, display_tables

_FIGURES = {
    "first_task_accuracy": "Accuracy on the first task, after each task learned: what falls is what was forgotten.",
    "average_accuracy": "Average accuracy on the tasks learned so far, after each task learned.",
    "accuracy_vs_parameters": "Average accuracy after the last task, against what each task adds to storage.",
    "accuracy_vs_compute": "Average accuracy after the last task, against the compute of training.",
    "accuracy_matrix": "Accuracy on every task after every task learned, one panel a method.",
}

_CSV = ("summary", "accuracy", "parameters", "compute", "tasks")

_STYLE = """
:root { color-scheme: light dark;
  --text: #1d1d1f; --quiet: #66666c; --page: #ffffff; --rule: #dcdce0; --best: #eef4fb; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e8e8ea; --quiet: #a0a0a8; --page: #17181b; --rule: #3a3b40; --best: #22303f; }
}
body { margin: 0 auto; max-width: 66rem; padding: 1.5rem 1rem 4rem; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
p, figcaption, caption { color: var(--quiet); margin: 0 0 .75rem; }
a { color: inherit; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--rule); vertical-align: bottom; }
td, tbody th { white-space: nowrap; }
th:first-child, .text th, .text td { text-align: left; }
th { font-weight: 600; }
thead th { max-width: 8rem; }
.text td { vertical-align: top; white-space: normal; overflow-wrap: anywhere; }
.best { font-weight: 700; background: var(--best); }
figure { margin: 0 0 2rem; }
figure img { display: block; background: #ffffff; }
figcaption { font-size: .875rem; margin-top: .4rem; }
"""


def write_page(
    folder: Path,
    *,
    title: str,
    summary: pd.DataFrame,
    parameters: pd.DataFrame,
    compute: pd.DataFrame,
    tasks: pd.DataFrame,
    manifest: Mapping[str, Any],
) -> Path:
    """Write report.html into `folder`, with the figures that are in `folder`/figures inside it.

    Args:
        summary, parameters, compute, tasks: the rows of the CSV files of these names.
        manifest: the content of manifest.json. Its `cells`, a list of mappings with method, seed, order, status and
            cause, gives the section of what failed, the length of its `orders` says whether there are several;
            everything else is printed as it is.

    Returns:
        The page's path.
    """
    orders = len(manifest["orders"])
    tables = display_tables(summary, parameters, compute, orders)
    sections = [
        _section("Summary", _table(tables[0])),
        _failures(manifest),
        _section("Figures", "".join(_figure(folder, name) for name in _FIGURES)),
        _section("Storage", _table(tables[1])),
        _section("Compute", _table(tables[2])),
        _section("Tasks", _tasks(tasks, orders)),
        _section("Settings and provenance", _settings(manifest)),
    ]
    stream = f"a stream of {_counted(len(tasks), 'task')}" + (f" in {orders} orders" if orders > 1 else "")
    files = ", ".join(f'<a href="{name}.csv">{name}.csv</a>' for name in _CSV)
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p>{_counted(len(summary), "method")} on {stream}. The numbers: {files}.</p>
</header>
<main>
{"".join(sections)}</main>
</body>
</html>
"""
    path = folder / "report.html"
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_text(page, encoding="utf-8")
    os.replace(unfinished, path)
    return path


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _section(heading: str, body: str) -> str:
    return f"<section>\n<h2>{heading}</h2>\n{body}</section>\n" if body else ""


def _table(table: Table) -> str:
    return _grid(table.headers, table.rows, table.caption)


def _tasks(tasks: pd.DataFrame, orders: int) -> str:
    headers = ("Task", "Classes", "Training images", "Validation images", "Test images", "Image size", "Fingerprint")
    rows = [
        [
            Cell(f"{row.task}. {row.task_name}"),
            Cell(f"{row.classes}"),
            Cell(f"{row.train_images:,}"),
            Cell(f"{row.validation_images:,}"),
            Cell(f"{row.test_images:,}"),
            Cell(f"{row.image_size}"),
            Cell(str(row.fingerprint)[:12]),
        ]
        for row in tasks.itertuples()
    ]
    caption = "In the order they were learned." if orders == 1 else "In order 0; all orders are below, as a setting."
    return _grid(headers, rows, caption)


def _failures(manifest: Mapping[str, Any]) -> str:
    failed = [cell for cell in manifest.get("cells", ()) if cell["status"] != "succeeded"]
    if not failed:
        return ""
    order = ("order",) if len(manifest["orders"]) > 1 else ()
    keys = ("method", "seed", *order, "status", "cause")
    rows = [[Cell(_text(cell.get(key))) for key in keys] for cell in failed]
    headers = [key.capitalize() for key in keys]
    return _section("What did not finish", _grid(headers, rows, "The other cells are not affected.", kind="text"))


def _settings(manifest: Mapping[str, Any]) -> str:
    rows = [[Cell(name), Cell(text)] for name, text in _flat(manifest) if name != "cells"]
    return _grid(("Setting", "Value"), rows, "From manifest.json.", kind="text")


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as (dotted name, text)."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        elif isinstance(value, list | tuple):
            yield name, ", ".join(map(str, value))
        else:
            yield name, _text(value)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _grid(headers: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str, kind: str = "numbers") -> str:
    head = "".join(f'<th scope="col">{escape(header)}</th>' for header in headers)
    body = "".join(f"<tr>{_row(row)}</tr>\n" for row in rows)
    return (
        f'<div class="scroll"><table class="{kind}">\n<caption>{escape(caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>\n"
    )


def _row(cells: Sequence[Cell]) -> str:
    name, *values = cells
    shown = (f'<td class="best">{escape(v.text)}</td>' if v.best else f"<td>{escape(v.text)}</td>" for v in values)
    return f'<th scope="row">{escape(name.text)}</th>{"".join(shown)}'


def _figure(folder: Path, name: str) -> str:
    path = folder / "figures" / f"{name}.svg"
    if not path.is_file():
        return ""
    # As an image and not as elements of the page: the ids inside two SVGs are the same.
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    caption = escape(_FIGURES[name])
    links = ", ".join(f'<a href="figures/{name}.{kind}">{kind.upper()}</a>' for kind in ("svg", "png"))
    return (
        f'<figure>\n<div class="scroll"><img alt="{caption}" src="data:image/svg+xml;base64,{data}"/></div>\n'
        f"<figcaption>{caption} {links}</figcaption>\n</figure>\n"
    )
