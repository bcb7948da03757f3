"""Tables in LaTeX."""

from __future__ import annotations

from collections.abc import Iterable

from benchmark.report.markdown import conclusion, escape
from benchmark.report.table import EMPTY, MINUS, Cell, Table
from benchmark.results.columns import TIMES
from benchmark.results.paired_tests import Statistics


def to_latex(tables: Iterable[Table], statistics: Statistics | None = None) -> str:
    r"""The content of summary.tex: table* environments that need \usepackage{booktabs} and nothing else.

    Args:
        statistics: for a table of ranks; if there are too few blocks for one, a comment says so.
    """
    return "% \\usepackage{booktabs}\n" + "\n".join([*map(latex, tables), *conclusion(statistics, latex, "% ")])


def latex(table: Table) -> str:
    """A table* environment that needs the package booktabs."""

    def bold(cell: Cell) -> str:
        text = escape(cell.text, _LATEX)
        return rf"\textbf{{{text}}}" if cell.best else text

    def header(text: str) -> str:
        # Headers have lines of a word or two, because ten columns would not fit a page otherwise.
        lines = r" \\ ".join(escape(part, _LATEX) for part in _broken(text))
        return rf"\begin{{tabular}}[b]{{@{{}}r@{{}}}}{lines}\end{{tabular}}"

    columns = "l" * table.words + "r" * (len(table.headers) - table.words)
    lines = [
        r"\begin{table*}[t]",
        r"\centering",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{escape(table.caption, _LATEX)}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join([table.headers[0], *(header(h) for h in table.headers[1:])]) + r" \\",
        r"\midrule",
        *(" & ".join(bold(cell) for cell in row) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


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
