"""The summary of a run, and the same three tables as Markdown, as LaTeX and (through `display_tables`) as HTML."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from benchmark import metrics
from benchmark.blocks import block_means, factors_of, interval_95, mean_over_blocks, repetitions_of
from benchmark.reference import ALL_PAIRS
from benchmark.statistics import Statistics
from benchmark.text import counted, printable

SUMMARY_COLUMNS = (
    "method",
    "seeds",
    "status",
    "average_accuracy",
    "average_accuracy_ci95",
    "first_task_accuracy",
    "first_task_accuracy_ci95",
    "forgetting",
    "backward_transfer",
    "extra_parameters_percent",
    "normalized_compute",
    "normalized_seconds",
    "blocks",
    "first_task_drop",
    "first_task_drop_ci95",
    "stored_bytes",
    "stored_percent",
)


def summary_table(
    accuracy: pd.DataFrame,
    parameters: pd.DataFrame,
    compute: pd.DataFrame,
    statuses: Mapping[str, str],
    tasks: int,
) -> pd.DataFrame:
    """The rows of summary.csv, one a method, in the order of `statuses`.

    Means and intervals are over the blocks of the repetitions that finished all tasks; a method without any has its
    status and no numbers.

    Args:
        accuracy, parameters, compute: the rows of the CSV files of these names.
        statuses: method label -> "succeeded", "failed" or "incomplete".
        tasks: T, the length of the stream.
    """
    extra = parameters.set_index("method")
    spent = compute.set_index("method")
    factors = factors_of(repetitions_of(accuracy))
    rows = []
    for method, status in statuses.items():
        matrices = metrics.accuracy_matrices(accuracy[accuracy["method"] == method], tasks)
        finished = {repetition: R for repetition, R in matrices.items() if not np.isnan(R[-1]).any()}
        row: dict[str, Any] = {"method": method, "seeds": len(finished), "status": status, "blocks": 0}
        if finished:
            row |= {name: extra[name].get(method, math.nan) for name in _STORED}
            row |= {name: spent[name].get(method, math.nan) for name in _SPENT}
            for name, figure in _FIGURES.items():
                values = {repetition: figure(R) for repetition, R in finished.items()}
                row["blocks"] = len(block_means(values, factors[0]))
                row[name] = mean_over_blocks(values, factors[0])
                row[f"{name}_ci95"] = interval_95(values, factors)
        rows.append(row)
    table = pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))
    return table.astype({name: float for name in SUMMARY_COLUMNS[3:] if name != "blocks"})


# The summary's columns on accuracy, each of which is a figure of every repetition, and those from other tables.
_FIGURES: Mapping[str, Callable[[metrics.Array], float]] = {
    "average_accuracy": metrics.average_accuracy,
    "first_task_accuracy": metrics.first_task_accuracy,
    "forgetting": metrics.forgetting,
    "backward_transfer": metrics.backward_transfer,
    "first_task_drop": metrics.first_task_drop,
}
_STORED = ("extra_parameters_percent", "stored_bytes", "stored_percent")
_SPENT = ("normalized_compute", "normalized_seconds")


@dataclass(frozen=True)
class Cell:
    """One cell as a reader sees it; `best` where it is in bold, see Statistics.leaders.

    `value` is the number behind the text, by which rows can be sorted; None for names and where there is none.
    """

    text: str
    best: bool = False
    value: float | None = None


@dataclass(frozen=True)
class Table:
    """A table ready to print: the first column holds names, the others numbers."""

    name: str
    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


EMPTY = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"


def bytes_text(value: float) -> str:
    """A size in bytes with three significant digits: 44.7 MB."""
    return _prefixed(value, "B")


def _signed_bytes(value: float) -> str:
    return f"-{bytes_text(-value)}" if value < 0 else bytes_text(value)


def flops_text(value: float) -> str:
    """A count of floating-point operations with three significant digits: 1.82 GFLOP."""
    return _prefixed(value, "FLOP")


def _prefixed(value: float, unit: str) -> str:
    prefixes = ("", "k", "M", "G", "T", "P", "E", "Z")
    power = 0
    # 999.5 would be rounded to 1000.
    while value >= 999.5 and power < len(prefixes) - 1:
        value, power = value / 1000, power + 1
    return f"{value:.0f} {unit}" if power == 0 else f"{_significant(value)} {prefixes[power]}{unit}"


def _percent(value: float) -> str:
    # Adding zero turns -0.0 into 0.0.
    return f"{round(100 * value, 1) + 0.0:.1f}"


def _significant(value: float) -> str:
    """At least three significant digits."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _ratio(value: float) -> str:
    return f"{value:.2f}"


def _fine_ratio(value: float) -> str:
    return f"{value:.3f}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "<0.001"


@dataclass(frozen=True)
class _Column:
    name: str
    header: str
    text: Callable[[float], str]
    ci: str | None = None
    #: Whether its values are what the ranks are made of.
    ranked: bool = False


_SUMMARY: tuple[_Column, ...] = (
    _Column("seeds", "Seeds", _count),
    _Column("average_accuracy", "Average accuracy (%)", _percent, ci="average_accuracy_ci95", ranked=True),
    _Column("first_task_accuracy", "First-task accuracy (%)", _percent, ci="first_task_accuracy_ci95"),
    _Column("forgetting", "Forgetting (pp)", _percent),
    _Column("backward_transfer", "Backward transfer (pp)", _percent),
    _Column("extra_parameters_percent", "Extra parameters (% per task)", _significant),
    _Column("stored_bytes", "Stored beyond the backbone", _signed_bytes),
    _Column("stored_percent", "Stored (% of the backbone)", _significant),
    _Column("normalized_compute", f"Compute ({TIMES} fine-tuning)", _ratio),
    _Column("normalized_seconds", f"Time ({TIMES} fine-tuning)", _ratio),
)
# Over several orders other tasks are the first, so that only what each has lost can be averaged.
_OVER_ORDERS = {
    "seeds": _Column("seeds", "Runs", _count),
    "first_task_accuracy": _Column("first_task_drop", "First-task drop (pp)", _percent, ci="first_task_drop_ci95"),
}
_PARAMETERS = (
    _Column("backbone_parameters", "Backbone parameters", _count),
    _Column("extra_parameters_per_task", "Extra parameters per task", _count),
    _Column("extra_parameters_percent", "Extra (% of the backbone)", _significant),
    _Column("head_parameters_per_task", "Head parameters per task", _count),
    _Column("frozen_bytes", "Frozen", bytes_text),
    _Column("shared_bytes", "Shared", bytes_text),
    _Column("task_bytes", "Per-task", bytes_text),
    _Column("memory_bytes", "Memory", bytes_text),
    _Column("replay_bytes", "Replay", bytes_text),
    _Column("state_bytes", "State in all", bytes_text),
    _Column("stored_bytes", "Beyond the backbone", _signed_bytes),
    _Column("stored_percent", "Beyond (% of the backbone)", _significant),
)
_COMPUTE = (
    _Column("training_flops", "Training", flops_text),
    _Column("normalized_compute", f"{TIMES} fine-tuning", _ratio),
    _Column("training_seconds", "Training (s)", _significant),
    _Column("normalized_seconds", f"{TIMES} fine-tuning", _ratio),
    _Column("inference_flops_per_image", "Inference per image", flops_text),
    _Column("normalized_inference", f"{TIMES} backbone", _fine_ratio),
    _Column("evaluation_seconds", "Evaluation (s)", _significant),
    _Column("evaluations", "Evaluations", _count),
    _Column("peak_memory_bytes", "Peak memory", bytes_text),
)
_RANKS = (
    _Column("mean_rank", "Mean rank", _ratio),
    _Column("average_accuracy", "Average accuracy (%)", _percent, ranked=True),
)

_BACKBONES = (
    _Column("seeds", "Seeds", _count),
    _Column("average_accuracy", "Average accuracy (%)", _percent, ci="average_accuracy_ci95"),
    _Column("backbone_parameters", "Backbone parameters", _count),
    _Column("extra_parameters_percent", "Extra parameters (% per task)", _significant),
    _Column("training_flops", "Training", flops_text),
    _Column("normalized_compute", f"{TIMES} fine-tuning", _ratio),
)

_BUDGETS = (
    _Column("memory_bytes", "Replay memory", bytes_text),
    _Column("epochs", "Epochs", _count),
    _Column("compute_ratio", f"Training ({TIMES}", _fine_ratio),
)


def summary_display(summary: pd.DataFrame, statistics: Statistics, budgets: Table | None = None) -> Table:
    """The summary as a reader sees it; with a column of statuses only where a method did not succeed.

    Args:
        statistics: what tests say about these methods.
        budgets: of `budgets_display`; the caption then says what is equal.
    """
    over, columns = "seeds", _SUMMARY
    if statistics.orders:
        over = "orders of the tasks and seeds, the wider of the two"
        columns = tuple(_OVER_ORDERS.get(column.name, column) for column in _SUMMARY)
    caption = (
        f"Accuracy after the whole stream, and what it cost. ± is the 95 % confidence interval over {over}; "
        "pp are percentage points."
    )
    if statistics.orders:
        caption += " The drop is what the first task of each order has lost since it was learned."
    if statistics.leaders:
        caption += f" {_bold_means(statistics)}"
    if budgets:
        caption += f" {budgets.caption}"
    statuses = bool((summary["status"] != "succeeded").any())
    return _table("summary", caption, summary, columns, statuses, leaders=statistics.leaders)


def _bold_means(statistics: Statistics) -> str:
    aside = f", the bounds ({', '.join(sorted(statistics.bounds))}) aside" if statistics.bounds else ""
    return f"Bold: the highest average accuracy{aside}, and those that the tests do not put below it."


def storage_display(parameters: pd.DataFrame) -> Table:
    """parameters.csv as a reader sees it."""
    return _table("storage", "What each method stores.", parameters, _PARAMETERS)


def compute_display(compute: pd.DataFrame) -> Table:
    """compute.csv, or those of its columns that are there, as a reader sees it."""
    caption = "What each method computes."
    if "features_cached" in compute:
        once = compute.loc[compute["features_cached"].astype(bool), "method"]
        if len(once):
            caption += f" Features of the training images are computed once per task: {', '.join(once)}."
    return _table("compute", caption, compute, _COMPUTE)


def rank_display(statistics: Statistics) -> Table | None:
    """ranks.csv as a reader sees it, with the verdict of the tests in its caption; None with less than two blocks."""
    if statistics.blocks < 2:
        return None
    reference = statistics.reference
    name, to, corrected = "reference", reference, f"for {counted(len(statistics.pairs), 'method')} compared with it"
    if reference == ALL_PAIRS:
        name, to, corrected = "best", "the best", "for all pairs of methods"
    columns = (
        *_RANKS,
        _Column(f"difference_to_{name}", f"Difference to {to} (pp)", _percent, ci=f"difference_to_{name}_ci95"),
        _Column(f"holm_p_to_{name}", "p of the difference", _p),
    )
    each = ", each the mean of its repetitions" if statistics.orders else ""
    caption = (
        f"Ranks by average accuracy, the mean over {statistics.counted(statistics.blocks)}{each}; 1 is best. "
        f"± is the paired 95 % confidence interval of the difference to {to}, p its Wilcoxon signed-rank test with "
        f"Holm's correction {corrected}. {statistics.verdict}"
    )
    if statistics.leaders:
        caption += f" {_bold_means(statistics)}"
    return _table("ranks", caption, statistics.ranks, columns, leaders=statistics.leaders)


def budgets_display(manifest: Mapping[str, Any]) -> Table | None:
    """What each method was given where --equal-memory or --equal-compute was; None where neither was."""
    if not manifest.get("budgets"):
        return None
    settings = manifest["settings"]
    said = []
    if settings["equal_memory"]:
        said.append(f"A replay memory has as many bytes as {settings['equal_memory']} adds over the whole stream.")
    if settings["equal_compute"]:
        said.append(
            f"Each method trains for the epochs that cost most nearly what {settings['epochs']} of "
            f"{settings['equal_compute']} do, in operations."
        )
    frame = pd.DataFrame([{"method": label, **budget} for label, budget in manifest["budgets"].items()])
    *others, ratio = _BUDGETS
    columns = (*others, replace(ratio, header=f"{ratio.header} {settings['equal_compute']})"))
    return _table("budgets", " ".join(said), frame.dropna(axis=1, how="all"), columns)


def backbones_display(backbones: pd.DataFrame, method: str) -> Table:
    """backbones.csv as a reader sees it."""
    caption = (
        f"{method} on several backbones: accuracy after the whole stream, and what it cost. Compute is relative to "
        "fine-tuning the same backbone."
    )
    failed = bool((backbones["status"] != "succeeded").any())
    return _table("backbones", caption, backbones, _BACKBONES, failed, names=("backbone", "pretraining"))


def display_tables(
    summary: pd.DataFrame,
    parameters: pd.DataFrame,
    compute: pd.DataFrame,
    statistics: Statistics,
    budgets: Table | None = None,
) -> tuple[Table, ...]:
    """The summary, the storage and the compute tables as a reader sees them, and the budgets, if they were equal."""
    tables = summary_display(summary, statistics, budgets), storage_display(parameters), compute_display(compute)
    return (*tables, budgets) if budgets else tables


def _table(
    name: str,
    caption: str,
    frame: pd.DataFrame,
    columns: tuple[_Column, ...],
    statuses: bool = False,
    names: Sequence[str] = ("method",),
    leaders: Collection[str] = (),
) -> Table:
    """Columns of text, those of `names` and of statuses, and then the numbers that are there.

    Args:
        leaders: the methods of which what the ranks are made of is in bold.
    """
    words = [*names, "status"] if statuses else names
    body = [[Cell(printable(str(text))) for text in frame[word]] for word in words]
    headers = [word.capitalize() for word in words]
    for column in columns:
        if column.name in frame:
            body.append(_cells(frame, column, leaders if column.ranked else ()))
            headers.append(column.header)
    return Table(name, printable(caption), tuple(headers), tuple(zip(*body, strict=True)))


def _cells(frame: pd.DataFrame, column: _Column, leaders: Collection[str]) -> list[Cell]:
    cells = []
    for row in frame.to_dict("records"):
        number, spread = float(row[column.name]), math.nan if column.ci is None else float(row[column.ci])
        text = EMPTY if math.isnan(number) else column.text(number)
        shown = text if math.isnan(spread) else f"{text} ± {column.text(spread)}"
        best = row["method"] in leaders if leaders else False
        cells.append(Cell(shown.replace("-", MINUS), best, value=None if math.isnan(number) else number))
    return cells


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


def to_markdown(tables: Iterable[Table], statistics: Statistics | None = None) -> str:
    """The content of summary.md: the tables, with the methods that the ranks put first in bold.

    Args:
        statistics: for a table of ranks; where there are too few blocks for one, a sentence says so.
    """
    return "\n".join([*map(markdown, tables), *_conclusion(statistics, markdown, "")])


def _conclusion(statistics: Statistics | None, render: Callable[[Table], str], mark: str) -> list[str]:
    """What can be said of the differences between methods, if there are two: their ranks, or `mark` and a sentence."""
    if statistics is None or not statistics.verdict:
        return []
    ranks = rank_display(statistics)
    return [render(ranks) if ranks else f"{mark}{statistics.verdict}\n"]


def markdown(table: Table) -> str:
    """A table in GitHub's Markdown, below its caption."""

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cells) + " |\n"

    def bold(cell: Cell) -> str:
        text = _escape(cell.text, _MARKDOWN)
        return f"**{text}**" if cell.best else text

    rule = ["---", *["---:"] * (len(table.headers) - 1)]
    rows = "".join(line([bold(cell) for cell in row]) for row in table.rows)
    return (
        f"{_escape(table.caption, _MARKDOWN)}\n\n"
        + line([_escape(h, _MARKDOWN) for h in table.headers])
        + line(rule)
        + rows
    )


def to_latex(tables: Iterable[Table], statistics: Statistics | None = None) -> str:
    r"""The content of summary.tex: table* environments that need \usepackage{booktabs} and nothing else.

    Args:
        statistics: for a table of ranks; where there are too few blocks for one, a comment says so.
    """
    return "% \\usepackage{booktabs}\n" + "\n".join([*map(latex, tables), *_conclusion(statistics, latex, "% ")])


def latex(table: Table) -> str:
    """A table* environment that needs the package booktabs."""

    def bold(cell: Cell) -> str:
        text = _escape(cell.text, _LATEX)
        return rf"\textbf{{{text}}}" if cell.best else text

    def header(text: str) -> str:
        # Broken into lines of a word or two, or ten columns would not fit a page.
        lines = r" \\ ".join(_escape(part, _LATEX) for part in _broken(text))
        return rf"\begin{{tabular}}[b]{{@{{}}r@{{}}}}{lines}\end{{tabular}}"

    columns = "l" + "r" * (len(table.headers) - 1)
    lines = [
        r"\begin{table*}[t]",
        r"\centering",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{_escape(table.caption, _LATEX)}}}",
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


_MARKDOWN = {character: "\\" + character for character in "\\`*_[]<>|&$~"}
_LATEX = {
    **{character: "\\" + character for character in "%&#_${}"},
    "\\": r"\textbackslash{}",
    # At the start of a row they would belong to the end of the row above.
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


def _escape(text: str, replacements: Mapping[str, str]) -> str:
    return "".join(replacements.get(character, character) for character in text)
