"""The tables of real runs in README.md and docs/, from the runs in docs/results/: `python scripts/docs_tables.py`.

A table stands between two comments, and everything between them is replaced. The first comment names a run and what is
shown of it, as `<!-- results/NAME: WHAT -->`. It may choose columns and rows, which are then shown in that order:
`<!-- results/NAME: WHAT; columns: A | B; rows: C | D -->`. The last comment is `<!-- end of results/NAME -->`.

| WHAT | is |
|---|---|
| `summary`, `storage`, `compute`, `efficiency`, `inference`, `budgets`, `ranks` | a table of summary.md, no caption |
| `caption of ranks` (or of another of these) | the caption |
| `tasks` | the accuracy on each task after the last one: a row for each task, a column for each method |
| `matrix of clr` | the accuracy on each task (column) after each task (row) |
| `tasks.csv` (or another one) | the columns of the CSV file |
| `command` | the command that made the run |

keep_run.py keeps a run. When the form of tables or figures has changed, `python -m benchmark report docs/results/NAME`
makes those of a kept run again.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.files import MANIFEST
from benchmark.report.markdown import markdown_rows, markdown_text
from benchmark.report.table import EMPTY, MINUS, WRITERS, Table, TableCell
from benchmark.report.tables import display_tables, rank_display
from benchmark.results.columns import columns_of
from benchmark.results.matrices import drawn_runs
from benchmark.results.questions import asked
from benchmark.results.run import Results, read
from benchmark.results.tables import read_table
from benchmark.storage.folder import RunFolder
from fill_pages import ROOT, fill_pages
from methods.errors import UserError

RESULTS = ROOT / "docs" / "results"

_BLOCK = re.compile(
    r"(?P<begin><!-- results/(?P<run>[^\s:;]+): (?P<what>[^;\n]+?)(?:; columns: (?P<columns>[^;\n]+?))?"
    r"(?:; rows: (?P<rows>[^;\n]+?))? -->\n).*?(?P<end><!-- end of results/(?P=run) -->)",
    re.DOTALL,
)

# The longest line of a command.
_WIDTH = 118


def pages() -> list[Path]:
    """The pages that may have tables of runs."""
    runs = kept_runs()
    found = (path for path in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in path.parts)
    return [ROOT / "README.md", *(path for path in found if path.parent not in runs)]


def kept_runs() -> list[Path]:
    """The folders of the kept runs."""
    return sorted(path.parent for path in RESULTS.glob(f"*/{MANIFEST}"))


def runs_shown(text: str) -> dict[str, set[str]]:
    """Name of a run -> what a page shows of it."""
    found: dict[str, set[str]] = {}
    for block in _BLOCK.finditer(text):
        found.setdefault(block["run"], set()).add(block["what"])
    return found


def filled(text: str, results: Path = RESULTS) -> str:
    """A page with all its tables as the kept runs give them.

    Args:
        text: of the page, in Markdown.
        results: the folder of the kept runs.

    Raises:
        UserError: a comment names something that there is not, or has another form.
    """
    reading = cache(lambda name: read(RunFolder(results / name)))
    if len(_BLOCK.findall(text)) != text.count("<!-- results/"):
        raise UserError(
            "a comment that begins with `<!-- results/` has another form, or no end, as docs_tables.py has it"
        )

    def block(found: re.Match[str]) -> str:
        own = reading(found["run"])
        chosen = [found[part] and [each.strip() for each in found[part].split("|")] for part in ("columns", "rows")]
        try:
            content = shown(own, found["what"], *chosen)
        except UserError as error:
            raise UserError(f"results/{found['run']}: {found['what']}: {error}") from error
        return f"{found['begin']}{content}{found['end']}"

    return _BLOCK.sub(block, text)


def shown(results: Results, what: str, columns: Sequence[str] | None, rows: Sequence[str] | None) -> str:
    """What a comment asks for, in Markdown.

    Args:
        results: of the run.
        what: as the table above says.
        columns, rows: the headers of the columns, and what rows begin with; None for all.

    Raises:
        UserError: the run has no such thing.
    """
    if what == "command":
        return command(results.manifest["command"])
    kind, _, name = what.rpartition(" of ")
    if kind == "caption":
        return f"{markdown_text(_display(results, name).caption)}\n"
    table = matrix(results, name) if kind == "matrix" else tables(results, what)
    return markdown_rows(selected(table, columns, rows))


def tables(results: Results, what: str) -> Table:
    """A table by its name.

    Raises:
        UserError: there is none.
    """
    if what.endswith(".csv"):
        return csv_table(results.path / what)
    return by_task(results) if what == "tasks" else _display(results, what)


def _display(results: Results, name: str) -> Table:
    """A table of summary.md."""
    ranks = rank_display(results.statistics)
    found = {table.name: table for table in (*display_tables(results), *([ranks] if ranks else []))}
    return found[_known(name, found)]


def selected(table: Table, columns: Sequence[str] | None, rows: Sequence[str] | None) -> Table:
    """The columns with these headers and the rows with these beginnings, in this order.

    Raises:
        UserError: there is no such column or row.
    """
    if rows is not None:
        known = {row[0].text: row for row in table.rows}
        table = replace(table, rows=tuple(known[_known(name, known)] for name in rows))
    if columns is None:
        return table
    places = [table.headers.index(_known(header, table.headers)) for header in columns]
    chosen = tuple(tuple(row[place] for place in places) for row in table.rows)
    return replace(table, headers=tuple(table.headers[place] for place in places), rows=chosen, words=_words(chosen))


def _words(rows: Sequence[Sequence[TableCell]]) -> int:
    """How many columns stand before the first one with a number."""
    numbers = [any(cell.value is not None for cell in column) for column in zip(*rows, strict=True)]
    return [*numbers, True].index(True)


def _known(name: str, names: Iterable[str]) -> str:
    if name not in (known := list(names)):
        raise UserError(f"there is no '{name}'; there are {', '.join(known)}")
    return name


def command(words: Sequence[str]) -> str:
    """A command as a block of code; a long one on several lines."""
    lines = ["python -m benchmark"]
    for word in map(shlex.quote, words):
        if len(lines[-1]) + len(word) + len(" \\") < _WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(f"  {word}")
    return "```bash\n" + " \\\n".join(lines) + "\n```\n"


def by_task(results: Results) -> Table:
    """The mean accuracy over repetitions on each task after the last one, in percent."""
    manifest = results.manifest
    last = results.accuracy[results.accuracy["learned"] == len(manifest.tasks)]
    main = last[last["answer"] == last["method"].map({label: asked(manifest, label).main for label in manifest.labels})]
    means = main.pivot_table("accuracy", "task_name", "method")
    labels = [label for label in manifest.labels if label in means]
    rows = tuple(
        (TableCell(name), *(_percent(means.loc[name, label]) for label in labels))
        for name in results.tasks["task_name"]
    )
    return Table("tasks", "", ("Task", *labels), rows)


def matrix(results: Results, label: str) -> Table:
    """The mean accuracy over blocks on each task (column) after each task (row), in percent."""
    drawn = {run.method: run for run in drawn_runs(results.matrices)}
    R = drawn[_known(label, drawn)].matrices.mean(axis=0)
    names = [str(name) for name in results.tasks["task_name"]]
    if results.over_orders:
        # Each order has another task at each place.
        names = [f"task {place}" for place in range(1, len(names) + 1)]
    rows = tuple((TableCell(name), *map(_percent, R[place])) for place, name in enumerate(names))
    return Table("matrix", "", ("After", *names), rows)


def csv_table(path: Path) -> Table:
    """A CSV file of a run.

    Raises:
        UserError: there is no such file.
    """
    if not path.is_file():
        raise UserError(
            "there is no such file; there are " + ", ".join(sorted(p.name for p in path.parent.glob("*.csv")))
        )
    frame = read_table(path)
    forms = {column.name: column.form for column in columns_of(path.stem) if column.form in WRITERS}
    body = [_texts(frame[name], WRITERS.get(forms.get(str(name)))) for name in frame]
    rows = tuple(zip(*body, strict=True))
    return Table(path.stem, "", tuple(map(str, frame)), rows, words=_words(rows))


def _texts(column: pd.Series, write: Callable[[float], str] | None) -> list[TableCell]:
    """The cells of a column: numbers by the form that it has in tables, or else with as many digits as they need."""
    if column.dtype.kind not in "iuf":
        return [TableCell(EMPTY if pd.isna(each) else str(each)) for each in column]
    return [_number(each, write or (lambda value: f"{value:,.10g}")) for each in map(float, column)]


def _number(value: float, write: Callable[[float], str]) -> TableCell:
    return TableCell(EMPTY) if np.isnan(value) else TableCell(write(value).replace("-", MINUS), value=value)


def _percent(share: float) -> TableCell:
    return _number(share, WRITERS["percent"])


def main() -> int:
    """Fill all pages, and print which have changed; returns the exit status."""
    return fill_pages(pages(), filled)


if __name__ == "__main__":
    sys.exit(main())
