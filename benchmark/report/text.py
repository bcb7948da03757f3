"""Text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence

from rich.cells import cell_len

from benchmark.report.table import EMPTY, Table


def to_text(table: Table) -> str:
    """A table for a terminal: headers broken into lines, columns padded, columns without any value left out."""
    columns = [(header, [row[i].text for row in table.rows]) for i, header in enumerate(table.headers)]
    padded = [_column(*column, left=i < table.words) for i, column in enumerate(columns) if set(column[1]) != {EMPTY}]
    height = max(len(header) for header, _ in padded)
    headers = [[" " * cell_len(cells[0])] * (height - len(header)) + header for header, cells in padded]
    heading = ["  ".join(parts).rstrip() for parts in zip(*headers, strict=True)]
    body = ["  ".join(parts).rstrip() for parts in zip(*(cells for _, cells in padded), strict=True)]
    rule = "-" * max(map(cell_len, heading + body))
    return "\n".join([table.caption, "", *heading, rule, *body, ""])


def _column(header: str, cells: list[str], left: bool) -> tuple[list[str], list[str]]:
    """The lines of a header, broken between words, and the table cells below it, all of the same width."""
    width = max(map(cell_len, [*header.split(), *cells]))
    lines = textwrap.wrap(header, width)
    return [_padded(line, width, left) for line in lines], [_padded(cell, width, left) for cell in cells]


def _padded(text: str, width: int, left: bool) -> str:
    """Text with spaces up to a width on the screen, where a character may take two columns, or none."""
    spaces = " " * (width - cell_len(text))
    return text + spaces if left else spaces + text


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Rows of table cells as lines, each column as wide as its widest table cell.

    Args:
        rows: all of the same length.
        right: numbers of the right-aligned columns, from 0.
    """
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            _padded(cell, width, left=number not in right)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
