"""The tables that are computed from the records of a run's cells."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.results import costs
from benchmark.results.columns import CostMetric, columns_of
from benchmark.results.costs import Costs
from benchmark.results.fine_tuning import time_unit
from benchmark.results.questions import asked
from benchmark.results.schema import ALL_ACCURACY_COLUMNS, COMPUTE_COLUMNS, PARAMETER_COLUMNS, TASK_COLUMNS
from benchmark.storage.manifest import Manifest
from benchmark.storage.records import CellKey, Records

# The columns of any table that hold text.
_TEXT = (
    "method",
    "method_a",
    "method_b",
    "status",
    "task_name",
    "class_name",
    "fingerprint",
    "backbone",
    "pretraining",
    "answer",
    "rule",
    "unbeaten",
)

#: The finished cells of each method.
Finished = Mapping[str, Mapping[CellKey, Records]]


def read_table(path: Path) -> pd.DataFrame:
    """A table of a run, from its CSV file: names are text, even 007 or NA, and empty fields are NaN."""
    texts = dict.fromkeys(_TEXT, str)
    return pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=[""])


def by_method(cells: Mapping[CellKey, Records]) -> Finished:
    """The cells of each method."""
    labels = dict.fromkeys(method for method, _, _ in cells)
    return {label: {key: after for key, after in cells.items() if key[0] == label} for label in labels}


def accuracy_table(
    records: Mapping[CellKey, Records],
    manifest: Manifest,
    others: Iterable[tuple[CellKey, str, int, Mapping[str, Any]]] = (),
) -> pd.DataFrame:
    """The long table of R[learned, task], as in accuracy.csv of a run with several orders.

    Args:
        records: of each cell; these give the rows of its own answers, which come first.
        manifest: of the run.
        others: the accuracies of other answers: cell, name of the answers, number of learned tasks, and an entry like
            those of records.
    """
    own = cache(lambda method: asked(manifest, method).own)
    recorded = (
        (key, own(key[0]), record["learned"], entry)
        for key, after in records.items()
        for record in after
        for entry in record["evaluated"]
    )
    rows = [
        {
            "method": method,
            "seed": seed,
            "learned": learned,
            "task": entry["task"],
            "task_name": manifest.tasks[manifest.orders[order][entry["task"] - 1] - 1]["task_name"],
            "accuracy": entry["accuracy"],
            "images": entry["images"],
            "order": order,
            "answer": answer,
        }
        for (method, seed, order), answer, learned, entry in chain(recorded, others)
    ]
    return pd.DataFrame(rows, columns=list(ALL_ACCURACY_COLUMNS))


def task_table(manifest: Manifest) -> pd.DataFrame:
    """tasks.csv."""
    return pd.DataFrame(manifest.tasks)[list(TASK_COLUMNS)]


def parameter_table(finished: Finished, manifest: Manifest) -> pd.DataFrame:
    """parameters.csv."""
    rows = [parameter_row(label, list(cells.values()), manifest.backbone) for label, cells in finished.items()]
    return pd.DataFrame(rows, columns=list(PARAMETER_COLUMNS))


def parameter_row(label: str, cells: Sequence[Records], backbone: Mapping[str, Any]) -> dict[str, Any]:
    """A row of parameters.csv.

    Args:
        label: of the method.
        cells: the records of each finished cell of the method.
        backbone: see Costs.
    """
    return _row("parameters", label, Costs(cells, backbone))


def compute_row(label: str, own: Costs, measured: bool = True) -> dict[str, Any]:
    """A row of compute.csv.

    Args:
        label: of the method.
        own: its costs.
        measured: whether they come from a run. If not, numbers that only a run can know are left out.
    """
    return _row("compute", label, own, measured)


def compute_table(finished: Finished, manifest: Manifest) -> pd.DataFrame:
    """compute.csv. Normalised compute needs no row of sgd: the network alone gives the cost of sgd."""
    tasks, orders = manifest.tasks, manifest.orders
    unit = time_unit(manifest.labels, finished.keys(), manifest.comparable_seconds).label
    seconds = Costs(list(finished[unit].values())).total("training_seconds") if unit else math.nan
    rows = [
        compute_row(
            label,
            Costs(
                list(cells.values()),
                fine_tuning_flops=sum(task["sgd_flops"] for task in tasks),
                bare_inference=costs.mean(
                    tasks[orders[order][-1] - 1]["backbone_inference_flops"] for _, _, order in cells
                ),
                fine_tuning_seconds=seconds,
            ),
        )
        for label, cells in finished.items()
    ]
    return pd.DataFrame(rows, columns=list(COMPUTE_COLUMNS))


def _row(csv: str, label: str, own: Costs, measured: bool = True) -> dict[str, Any]:
    metrics = [column for column in columns_of(csv) if isinstance(column, CostMetric)]
    return {"method": label, **{each.name: each.formula(own) for each in metrics if measured or not each.measured}}
