"""Tables in LaTeX fit a page, whatever they hold; one test asks LaTeX itself."""

import re
import shutil
import subprocess

import pytest
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from benchmark.report.latex import _width, latex, to_latex
from benchmark.report.table import Table, TableCell

LABELS = [
    "clr",
    "ewc:strength=100:samples=20:bn=frozen:fisher=empirical",
    "avalanche:AVeryLongNameOfAPluginWithoutAnyPlaceToBreakIt_50%",
    "MMMMMMMMMMMMMMMMMMMMMMMMMMMM",
]
NUMBERS = [f"A long header of column {k} (%)" for k in range(14)]


def table(name="wide", rows=14, columns=14, words=1):
    body = [
        (
            *(TableCell(LABELS[(row + k) % len(LABELS)]) for k in range(words)),
            *(TableCell(f"{row + 60}.1 (55.5 to {row + 62}.5)", best=row == 0) for _ in range(columns)),
        )
        for row in range(rows)
    ]
    names = ("Method", "Answer", "Status")[:words]
    return Table(name, f"The caption of {name}.", (*names, *NUMBERS[:columns]), tuple(body), words=words)


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
def test_latex_finds_nothing_too_wide_or_too_high(tmp_path):
    tables = [
        table("one", rows=1, columns=1),
        table("wide"),
        table("many", rows=60, columns=3),
        table("words", rows=8, columns=4, words=3),
        table("none", rows=0),
    ]
    body = to_latex(tables)
    text = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n" + body + "\\end{document}\n"
    (tmp_path / "tables.tex").write_text(text)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said[-2000:]
    assert not re.findall(r"Overfull.*|.*Float too large.*", said)


def test_widths_are_those_of_computer_modern():
    """Its size of 8 points is drawn a sixteenth wider than the one of 10 points that Matplotlib brings."""
    font = FontProperties(family="cmr10", size=8 * 1.0625)
    for text in (*LABELS, *NUMBERS, "80.4 (75.0 to 85.0)", "20.2 MFLOP", "WWW sisi lilli", "quick brown fox, jumps!"):
        measured, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
        assert measured - 1 <= _width(text) <= 1.25 * measured + 1, text


def test_columns_that_do_not_fit_follow_with_the_names_again():
    shown = latex(table(rows=2, columns=7))
    assert shown.count(r"\begin{table*}") == 1
    tabulars = shown.split(r"\begin{tabular}{")[1:]
    assert len(tabulars) >= 2
    assert "".join(tabular.partition("}")[0] for tabular in tabulars).count("r") == 7
    assert all("\nclr & " in tabular for tabular in tabulars)


def test_what_does_not_fit_a_page_goes_on_under_the_same_number():
    shown = latex(table(rows=60, columns=2))
    floats = shown.split(r"\begin{table*}")[1:]
    assert len(floats) >= 2
    assert [r"\addtocounter{table}{-1}" in each for each in floats] == [False] + [True] * (len(floats) - 1)
    assert shown.count(r"\label{tab:wide}") == 1
    assert (
        sum(f" & {row + 60}.1 (" in each or rf"\textbf{{{row + 60}.1 (" in each for each in floats for row in range(60))
        == 60
    )


def test_long_names_are_broken_before_their_options():
    assert (
        r"\begin{tabular}[t]{@{}l@{}}ewc:strength=100 \\ :samples=20:bn=frozen \\ :fisher=empirical\end{tabular} &"
    ) in latex(table(rows=2, columns=1))


def test_a_table_that_fits_stays_one_tabular():
    shown = latex(table(rows=1, columns=2))
    assert shown.count(r"\begin{tabular}{") == 1
    assert "\nclr & " in shown
