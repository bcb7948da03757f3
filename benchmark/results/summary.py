"""summary.csv, from the other tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from benchmark.results import metrics
from benchmark.results.blocks import block_means, factors_of, interval_95, mean_over_blocks, repetitions_of
from benchmark.results.schema import SUMMARY_COLUMNS


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
