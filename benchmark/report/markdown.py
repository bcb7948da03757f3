"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from benchmark.report.table import Table, TableCell
from benchmark.report.tables import rank_display
from benchmark.results.paired_tests import Statistics


def to_markdown(tables: Iterable[Table], statistics: Statistics | None = None) -> str:
    """The content of summary.md: the tables, with the methods that rank first in bold.

    Args:
        statistics: for a table of ranks; if there are too few blocks for one, a sentence says so.
    """
    return "\n".join([*map(markdown, tables), *conclusion(statistics, markdown, "")])


def conclusion(statistics: Statistics | None, render: Callable[[Table], str], mark: str) -> list[str]:
    """What can be said about the differences between two or more methods: their ranks, or `mark` and a sentence."""
    if statistics is None or not statistics.verdict:
        return []
    ranks = rank_display(statistics)
    return [render(ranks) if ranks else f"{mark}{statistics.verdict}\n"]


def markdown(table: Table) -> str:
    """A table in GitHub's Markdown, below its caption."""
    return f"{markdown_text(table.caption)}\n\n{markdown_rows(table)}"


def markdown_rows(table: Table) -> str:
    """A table in GitHub's Markdown, without its caption."""

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cells) + " |\n"

    def bold(cell: TableCell) -> str:
        text = markdown_text(cell.text)
        return f"**{text}**" if cell.best else text

    rule = ["---"] * table.words + ["---:"] * (len(table.headers) - table.words)
    rows = "".join(line([bold(cell) for cell in row]) for row in table.rows)
    return line([markdown_text(header) for header in table.headers]) + line(rule) + rows


_MARKDOWN = {character: "\\" + character for character in "\\`*_[]<>|&$~"}


def markdown_text(text: str) -> str:
    """Plain text in Markdown."""
    return escape(text, _MARKDOWN)


def escape(text: str, replacements: Mapping[str, str]) -> str:
    """Text with escapes for the characters that have a special meaning."""
    return "".join(replacements.get(character, character) for character in text)
