"""The tables of columns in results/README.md, made from benchmark/results/columns.py: `python scripts/columns.py`.

The tables stand between two comments; the first one names the CSV file. Everything between the comments is replaced.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmark.results.columns import Column, columns_of

README = Path(__file__).parents[1] / "results" / "README.md"

_BEGIN = "<!-- columns of {}.csv, by scripts/columns.py -->"
_END = "<!-- end of the columns -->"
_TABLE = re.compile(f"{re.escape(_BEGIN).replace(re.escape('{}'), '([a-z]+)')}.*?{re.escape(_END)}", re.DOTALL)


def table(csv: str) -> str:
    """The columns of a CSV file as a table in Markdown."""
    rows = [("column", "meaning", "better"), ("---", "---", "---"), *(_row(each, csv) for each in columns_of(csv))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _row(column: Column, csv: str) -> tuple[str, str, str]:
    name = f"`{column.name}`, `..._ci95`" if column.interval else f"`{column.name}`"
    # Columns taken from another file are explained there.
    meaning = column.meaning if column.csv[0] in (csv, "summary") else f"as in `{column.csv[0]}.csv`"
    return name, meaning, column.better or ""


def filled(text: str) -> str:
    """A text with all its tables up to date."""
    return _TABLE.sub(lambda found: "\n".join([_BEGIN.format(found[1]), table(found[1]), _END]), text)


if __name__ == "__main__":
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")
