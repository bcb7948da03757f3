"""The summary of a run, and the same three tables as Markdown, as LaTeX and (through `display_tables`) as HTML."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from benchmark.report.table import (
    EMPTY,
    MINUS,
    TIMES,
    Cell,
    Table,
    _count,
    _fine_ratio,
    _p,
    _percent,
    _ratio,
    _signed_bytes,
    _significant,
    bytes_text,
    flops_text,
)
from benchmark.results.blocks import counted
from benchmark.results.paired_tests import Statistics
from benchmark.results.reference import ALL_PAIRS
from methods.names import printable


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
