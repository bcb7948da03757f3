"""Tables in LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmark.report.markdown import conclusion, escape
from benchmark.report.table import EMPTY, MINUS, Table, TableCell
from benchmark.results.columns import TIMES
from benchmark.results.paired_tests import Statistics

# In points: the width of the text in the class article, the narrowest of the usual ones, and the font's size here.
_PAGE_WIDTH = 345.0
_SIZE = 8.0
_COLUMN_GAP = 6.0
# A page has room for so many lines of tables below a caption.
_PAGE_LINES = 40
# The most that the first column of words and each other one may take, in points.
_FIRST_WORDS, _OTHER_WORDS = 105.0, 60.0

# The width of characters in Computer Modern, in em; of others 0.56, or 1 if they are not ASCII.
_WIDTHS = {
    character: width
    for width, characters in (
        (0.3, "ijl.,:;!'|`[]"),
        (0.4, 'frstI()- "'),
        (0.5, "0123456789aceg/*"),
        (0.78, f"wABCDEFGHJKLNOPQRSTUVXYZ=+<>&@±{TIMES}{MINUS}"),
        (0.92, "mM%#"),
        (1.03, "W"),
        (0.5, EMPTY),
    )
    for character in characters
}
# An em of the font of 8 pt, and how much wider bold is.
_EM, _BOLD = 1.0625 * _SIZE, 1.17


def to_latex(tables: Iterable[Table], statistics: Statistics | None = None) -> str:
    r"""The content of summary.tex: table* environments that need \usepackage{booktabs} and nothing else.

    Args:
        statistics: for a table of ranks; if there are too few blocks for one, a comment says so.
    """
    return "% \\usepackage{booktabs}\n" + "\n".join([*map(latex, tables), *conclusion(statistics, latex, "% ")])


def latex(table: Table) -> str:
    """A table as table* environments that need the package booktabs, each no larger than a page of the class article.

    Long names take several lines. Where the columns are too wide together, those that do not fit follow below,
    with the names again; what does not fit a page goes on in the next environment, under the same number.
    """
    blocks = _blocks(table)
    floats: list[list[_Block]] = [[blocks[0]]]
    for block in blocks[1:]:
        if sum(own.lines for own in floats[-1]) + block.lines <= _PAGE_LINES:
            floats[-1].append(block)
        else:
            floats.append([block])
    parts = []
    for k, own in enumerate(floats):
        caption = escape(table.caption if k == 0 else "(continued)", _LATEX)
        lines = [
            r"\begin{table*}[tp]",
            *([r"\addtocounter{table}{-1}"] if k else []),
            r"\centering",
            r"\footnotesize",
            rf"\setlength{{\tabcolsep}}{{{_COLUMN_GAP / 2:g}pt}}",
            rf"\caption{{{caption}}}",
            *([] if k else [rf"\label{{tab:{table.name}}}"]),
            "\n\n\\medskip\n".join(block.text for block in own),
            r"\end{table*}",
        ]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


@dataclass(frozen=True)
class _Block:
    """A tabular, and how many lines it takes on a page."""

    text: str
    lines: int


def _blocks(table: Table) -> list[_Block]:
    """The table as tabulars that fit a page: some of its rows, and some of its columns beside the names."""
    most = [_FIRST_WORDS, *[_OTHER_WORDS] * (table.words - 1)]
    names = [[_broken_name(cell.text, room) for cell, room in zip(row, most, strict=False)] for row in table.rows]
    columns = range(table.words, len(table.headers))
    widths = {
        k: _COLUMN_GAP + max([_header_width(table.headers[k]), *(_cell_width(row[k]) for row in table.rows)])
        for k in columns
    }
    taken = sum(
        _COLUMN_GAP + max([_header_width(table.headers[k]), *(max(map(_width, own[k])) for own in names)])
        for k in range(table.words)
    )
    groups = _groups(widths, _PAGE_WIDTH - taken)
    return [_block(table, names, rows, group) for rows in _pages(names) for group in groups]


def _groups(widths: Mapping[int, float], room: float) -> list[list[int]]:
    """The columns in as few groups as fit the room; where one would be left alone, these are about equally wide.

    Args:
        widths: number of a column -> its width, in points.
        room: in points.
    """

    def packed(limit: float) -> list[list[int]]:
        groups: list[list[int]] = [[]]
        left = limit
        for column, width in widths.items():
            if width > left and groups[-1]:
                groups.append([])
                left = limit
            groups[-1].append(column)
            left -= width
        return groups

    found = packed(room)
    for percent in range(99 if len(found[-1]) == 1 else 0, 0, -1):
        narrower = packed(room * percent / 100)
        if len(narrower) > len(found):
            break
        found = narrower
    return found


def _pages(names: Sequence[Sequence[Sequence[str]]]) -> list[range]:
    """The rows of each page."""
    starts, lines = [0], 0
    for place, row in enumerate(names):
        height = max(map(len, row))
        if lines + height > _PAGE_LINES - 6 and lines:
            starts.append(place)
            lines = 0
        lines += height
    return [range(start, end) for start, end in zip(starts, [*starts[1:], len(names)], strict=True)]


def _block(
    table: Table, names: Sequence[Sequence[Sequence[str]]], rows: Sequence[int], columns: Sequence[int]
) -> _Block:
    def bold(cell: TableCell) -> str:
        text = escape(cell.text, _LATEX)
        return rf"\textbf{{{text}}}" if cell.best else text

    def name(lines: Sequence[str], cell: TableCell) -> str:
        return bold(cell) if len(lines) == 1 else _stacked([escape(line, _LATEX) for line in lines], "[t]", "l")

    def header(text: str) -> str:
        # Headers have lines of a word or two, because ten columns would not fit a page otherwise.
        return _stacked([escape(part, _LATEX) for part in _broken(text)], "[b]", "r")

    words = range(table.words)
    heads = [table.headers[0], *(header(table.headers[k]) for k in [*words[1:], *columns])]
    body = [
        " & ".join(
            [*(name(names[row][k], table.rows[row][k]) for k in words), *(bold(table.rows[row][k]) for k in columns)]
        )
        for row in rows
    ]
    lines = [
        rf"\begin{{tabular}}{{{'l' * table.words + 'r' * len(columns)}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
        *(row + r" \\" for row in body),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    tallest = max(len(_broken(table.headers[k])) for k in [*words, *columns])
    height = tallest + 2 + sum(max(map(len, names[row])) for row in rows)
    return _Block("\n".join(lines), height)


def _stacked(lines: Sequence[str], place: str, align: str) -> str:
    return rf"\begin{{tabular}}{place}{{@{{}}{align}@{{}}}}" + r" \\ ".join(lines) + r"\end{tabular}"


def _broken_name(text: str, most: float) -> list[str]:
    """A name in lines of at most `most` points: broken before an option or after a word, if need be within one."""
    lines = [""]
    for part in re.findall(r":?[^:\s,_-]*[\s,_-]*", text):
        if lines[-1] and _width(lines[-1] + part) > most:
            lines.append("")
        for character in part:
            if _width(lines[-1] + character) > most:
                lines.append("")
            lines[-1] += character
    return lines


def _width(text: str) -> float:
    """About the width of text in the font of the tables, in points."""
    return _EM * sum(_WIDTHS.get(character, 0.56 if character.isascii() else 1) for character in text)


def _cell_width(cell: TableCell) -> float:
    return _width(cell.text) * (_BOLD if cell.best else 1)


def _header_width(header: str) -> float:
    return max(map(_width, _broken(header)))


def _broken(header: str, width: int = 12) -> list[str]:
    lines: list[str] = []
    for word in header.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += " " + word
        else:
            lines.append(word)
    return lines


_LATEX = {
    **{character: "\\" + character for character in "%&#_${}"},
    "\\": r"\textbackslash{}",
    # At the start of a row they would count as part of the end of the row above.
    **{character: f"{{{character}}}" for character in "[]*"},
    "|": r"\textbar{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    TIMES: r"$\times$",
    MINUS: r"$-$",
    EMPTY: "--",
}
