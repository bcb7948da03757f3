"""summary.csv, from the accuracy matrices and the tables of costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from benchmark.results.blocks import Block, block_means, factors_of, interval_95, mean_over_blocks
from benchmark.results.columns import AccuracyMetric, AnswerMetric, CostMetric, columns_of
from benchmark.results.kept import ByTask, LastAnswers
from benchmark.results.matrices import Matrices, repetitions_of
from benchmark.results.metrics import Array, Repetition
from benchmark.results.schema import SUMMARY_COLUMNS


def summary_table(
    matrices: Matrices,
    parameters: pd.DataFrame,
    compute: pd.DataFrame,
    statuses: Mapping[str, str],
    last: LastAnswers,
) -> pd.DataFrame:
    """The rows of summary.csv, one per method, in the order of `statuses`.

    Means and intervals are over the blocks of the repetitions that finished all tasks; a method without such
    repetitions has a status and no numbers.

    Args:
        matrices: of the run.
        parameters, compute: the rows of the CSV files of these names.
        statuses: method label -> "succeeded", "failed" or "incomplete".
        last: of cells, as far as their answers are kept.
    """
    factors = factors_of(repetitions_of(matrices))
    costs = {"parameters": parameters.set_index("method"), "compute": compute.set_index("method")}
    rows = []
    for method, status in statuses.items():
        finished = {repetition: R for repetition, R in matrices[method].items() if not np.isnan(R[-1]).any()}
        row: dict[str, Any] = {"method": method, "seeds": len(finished), "status": status, "blocks": 0}
        if finished:
            row["blocks"] = len(block_means(finished, factors[0]))
            row |= _accuracies(finished, factors) | _costs(method, costs)
            row |= _from_answers({key: last.get((method, *key), {}) for key in finished}, factors[0])
        rows.append(row)
    table = pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))
    return table.astype(
        {name: float for name in SUMMARY_COLUMNS if name not in ("method", "seeds", "status", "blocks")}
    )


def _accuracies(finished: Mapping[Repetition, Array], factors: list[Block]) -> dict[str, float]:
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
