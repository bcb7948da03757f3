""""""

from __future__ import annotations

import textwrap

from benchmark.report.table import EMPTY, Table


def to_text(table: Table) -> str:
    """A table for a terminal: headers broken into lines, columns padded, those without any value left out."""
    columns = [(header, [row[i].text for row in table.rows]) for i, header in enumerate(table.headers)]
    padded = [_column(*column, left=i == 0) for i, column in enumerate(columns) if set(column[1]) != {EMPTY}]
    height = max(len(header) for header, _ in padded)
    headers = [[" " * len(cells[0])] * (height - len(header)) + header for header, cells in padded]
    heading = ["  ".join(parts).rstrip() for parts in zip(*headers, strict=True)]
    body = ["  ".join(parts).rstrip() for parts in zip(*(cells for _, cells in padded), strict=True)]
    rule = "-" * max(map(len, heading + body))
    return "\n".join([table.caption, "", *heading, rule, *body, ""])


def _column(header: str, cells: list[str], left: bool) -> tuple[list[str], list[str]]:
    """The lines of a header, broken between words, and the cells below it, all of one width."""
    width = max(map(len, [*header.split(), *cells]))
    align = str.ljust if left else str.rjust
    return [align(line, width) for line in textwrap.wrap(header, width)], [align(cell, width) for cell in cells]
