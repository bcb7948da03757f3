"""summary.csv, from the accuracy matrices and the tables of costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from benchmark.results.blocks import Block, block_means, interval_95, mean_over_blocks
from benchmark.results.cell_answers import ByTask
from benchmark.results.chance import Chance
from benchmark.results.columns import AccuracyMetric, AnswerMetric, CostMetric, columns_of
from benchmark.results.matrices import Matrices, finished_of
from benchmark.results.metrics import Array, Repetition
from benchmark.results.repeated import Repeated, too_few
from benchmark.results.schema import SUMMARY_COLUMNS


@dataclass(frozen=True)
class Answered:
    """The answers of one name of a method: a row of summary.csv.

    Attributes:
        method: its label.
        name: of the answers, see results/questions.py.
        status: of the method: "succeeded", "failed", "diverged" or "incomplete".
        matrices: R of its repetitions.
        last: repetition -> the answers after the last task, as far as they are kept.
        rule_bytes: what is kept to guess the task; NaN if it is not known.
    """

    method: str
    name: str
    status: str
    matrices: Mapping[Repetition, Array]
    last: Mapping[Repetition, ByTask] = field(default_factory=dict)
    rule_bytes: float = 0


def summary_table(
    answered: Sequence[Answered],
    parameters: pd.DataFrame,
    compute: pd.DataFrame,
    factors: Sequence[Block],
    backbone_bytes: float,
    chance: Chance,
) -> pd.DataFrame:
    """The rows of summary.csv for these answers, in their order.

    Means and intervals are over the blocks of the repetitions that finished all tasks; without such repetitions a row
    has a status and no numbers.

    Args:
        answered: one for each row.
        parameters, compute: the rows of the CSV files of these names.
        factors: what the repetitions of the run differ in.
        backbone_bytes: of the backbone as given; NaN if they are not known.
        chance: the chance levels of the run.
    """
    costs = {"parameters": parameters.set_index("method"), "compute": compute.set_index("method")}
    rows = []
    for each in answered:
        finished = finished_of(each.matrices)
        row: dict[str, Any] = {"method": each.method, "seeds": len(finished), "status": each.status, "blocks": 0}
        row["answer"] = each.name
        if finished:
            row["blocks"] = len(block_means(finished, factors[0]))
            row |= _accuracies(finished, factors) | _costs(each.method, costs)
            row |= _from_answers({repetition: each.last.get(repetition, {}) for repetition in finished}, factors[0])
            row["chance_level"] = chance.level(each.method, each.name)
            row["at_chance"] = chance.holds(each.method, each.name, row["average_accuracy"])
            if each.rule_bytes:
                row["stored_bytes"] += each.rule_bytes
                row["stored_percent"] += 100 * each.rule_bytes / backbone_bytes
        rows.append(row)
    table = pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))
    other = ("method", "seeds", "status", "blocks", "answer", "at_chance")
    return table.astype({name: float for name in SUMMARY_COLUMNS if name not in other} | {"at_chance": object})


def summary_repeated(matrices: Matrices, factors: Sequence[Block]) -> Repeated:
    """For the columns of summary.csv with an interval: each value of the methods with too few blocks for one.

    Args:
        matrices: R of the repetitions of each method.
        factors: what the repetitions of the run differ in.
    """
    measured = [column for column in columns_of("summary") if isinstance(column, AccuracyMetric) and column.interval]
    finished = {method: finished_of(own) for method, own in matrices.items()}
    return {
        (method, column.name): tuple(column.formula(R) for R in own.values())
        for method, own in finished.items()
        if own and too_few(own, factors)
        for column in measured
    }


def _accuracies(finished: Mapping[Repetition, Array], factors: Sequence[Block]) -> dict[str, float]:
    row = {}
    for column in columns_of("summary"):
        if isinstance(column, AccuracyMetric):
            values = {repetition: column.formula(R) for repetition, R in finished.items()}
            row[column.name] = mean_over_blocks(values, factors[0])
            if column.ci95:
                row[column.ci95] = interval_95(values, factors)
    return row


def _from_answers(finished: Mapping[Repetition, ByTask], block: Block) -> dict[str, float]:
    """The numbers from answers; none if some of the answers are not kept."""
    tasks = {key: [marked for marked in own.values() if marked] for key, own in finished.items()}
    if not all(own and len(tasks[key]) == len(own) for key, own in finished.items()):
        return {}
    return {
        column.name: mean_over_blocks({key: column.formula(own) for key, own in tasks.items()}, block)
        for column in columns_of("summary")
        if isinstance(column, AnswerMetric)
    }


def _costs(method: str, tables: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    return {
        column.name: tables[column.csv[0]][column.name].get(method, math.nan)
        for column in columns_of("summary")
        if isinstance(column, CostMetric)
    }
