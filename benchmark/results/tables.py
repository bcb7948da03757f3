"""The run folder: what a run leaves behind, and the tables that are computed from it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.results.schema import ACCURACY_COLUMNS, COMPUTE_COLUMNS, PARAMETER_COLUMNS, TASK_COLUMNS
from benchmark.storage.folder import DIVERGED, FAILED, SUCCEEDED, RunFolder
from benchmark.storage.records import CellKey, Records, read_records

# The columns of any table that hold text.
_TEXT = ("method", "method_a", "method_b", "status", "task_name", "fingerprint", "backbone", "pretraining")


def read_table(path: Path) -> pd.DataFrame:
    """A table of a run, from its CSV file: names are text, even those like 007 or NA, and what is empty is NaN."""
    return pd.read_csv(path, dtype=dict.fromkeys(_TEXT, str), keep_default_na=False, na_values=[""])


@dataclass(frozen=True)
class Tables:
    """The tables that follow from a run's manifest and records alone."""

    accuracy: pd.DataFrame
    parameters: pd.DataFrame
    compute: pd.DataFrame
    tasks: pd.DataFrame


def collect(run: RunFolder, manifest: dict[str, Any]) -> Tables:
    """Compute the tables of a run from its folder.

    Raises:
        VanishedError: a cell has succeeded, and what it measured is not there any more.
    """
    keys = [(cell["method"], cell["seed"], cell["order"]) for cell in manifest["cells"]]
    records = {key: read_records(run.cell(*key)) for key in keys}
    finished = {key: after for key, after in records.items() if len(after) == len(manifest["tasks"])}
    if len(finished) < len(keys):
        run.check_cells(manifest)
    return Tables(
        accuracy=accuracy_table(records, manifest),
        parameters=pd.DataFrame(
            [
                parameter_row(label, list(cells.values()), manifest["backbone"])
                for label, cells in _by_method(finished).items()
            ],
            columns=list(PARAMETER_COLUMNS),
        ),
        compute=compute_table(finished, manifest),
        tasks=pd.DataFrame(manifest["tasks"])[list(TASK_COLUMNS)],
    )


def _by_method(cells: Mapping[CellKey, Records]) -> dict[str, dict[CellKey, Records]]:
    labels = dict.fromkeys(method for method, _, _ in cells)
    return {label: {key: after for key, after in cells.items() if key[0] == label} for label in labels}


def accuracy_table(records: Mapping[CellKey, Records], manifest: Mapping[str, Any]) -> pd.DataFrame:
    """accuracy.csv: the long table of R[learned, task], with the order as its last column where there are several."""
    tasks, orders = manifest["tasks"], manifest["orders"]
    rows = [
        {
            "method": method,
            "seed": seed,
            "learned": record["learned"],
            "task": e["task"],
            "task_name": tasks[orders[order][e["task"] - 1] - 1]["task_name"],
            "accuracy": e["accuracy"],
            "images": e["images"],
            "order": order,
        }
        for (method, seed, order), after in records.items()
        for record in after
        for e in record["evaluated"]
    ]
    several = ("order",) if len(orders) > 1 else ()
    return pd.DataFrame(rows, columns=[*ACCURACY_COLUMNS, *several])


def parameter_row(label: str, cells: list[list[dict[str, Any]]], backbone: dict[str, Any]) -> dict[str, Any]:
    """A row of parameters.csv.

    The extra parameters per task are the growth of the state per task from the first task on (from the start, where
    there is one task only), without heads and stored samples, in float32-equivalents: what is kept once, whatever the
    number of tasks, is seen in the byte columns. Stored is all of the state beyond the backbone as given, which every
    method needs once, whether it refers to the backbone or overwrites it.

    Args:
        cells: the records of each finished cell of the method.
        backbone: its entry in the manifest. Where it has no "bytes", what is stored beyond them is not known.
    """

    def extra(sizes: dict[str, int]) -> int:
        return sizes["shared"] + sizes["task"] + sizes["memory"] - sizes["heads"] - sizes["replay"]

    def growth(after: list[dict[str, Any]]) -> float:
        last = extra(after[-1]["bytes"])
        if len(after) == 1:
            return last - extra(after[0]["bytes_before"])
        return (last - extra(after[0]["bytes"])) / (len(after) - 1)

    mean = {
        part: _mean(after[-1]["bytes"][part] for after in cells)
        for part in ("frozen", "shared", "task", "memory", "heads", "replay")
    }
    per_task = _mean(growth(after) / 4 for after in cells)
    state = round(mean["frozen"] + mean["shared"] + mean["task"] + mean["memory"])
    bare = backbone.get("bytes") or math.nan
    return {
        "method": label,
        "backbone_parameters": backbone["parameters"],
        "extra_parameters_per_task": per_task,
        "extra_parameters_percent": 100 * per_task / backbone["parameters"],
        "head_parameters_per_task": mean["heads"] / 4 / len(cells[0]),
        "frozen_bytes": round(mean["frozen"]),
        "shared_bytes": round(mean["shared"]),
        "task_bytes": round(mean["task"]),
        "memory_bytes": round(mean["memory"]),
        "replay_bytes": round(mean["replay"]),
        "state_bytes": state,
        "stored_bytes": state - bare,
        "stored_percent": 100 * (state - bare) / bare,
    }


def compute_table(finished: Mapping[CellKey, Records], manifest: Mapping[str, Any]) -> pd.DataFrame:
    """compute.csv. Normalised compute needs no sgd row: the cost of sgd is known from the network alone."""
    tasks = manifest["tasks"]
    sgd = sum(task["sgd_flops"] for task in tasks)
    # The bare backbone's cost on the task that each order ends with.
    bare = [tasks[order[-1] - 1]["backbone_inference_flops"] for order in manifest["orders"]]
    methods = _by_method(finished)
    seconds = {
        label: _mean(sum(record["training_seconds"] for record in after) for after in cells.values())
        for label, cells in methods.items()
    }
    # Seconds of different machines, which `compare` may have joined, have no ratio.
    unit = seconds.get("sgd", math.nan) if manifest.get("comparable_seconds", True) else math.nan
    rows = []
    for label, own in methods.items():
        cells = list(own.values())
        flops = _mean(sum(record["training_flops"] for record in after) for after in cells)
        inference = _mean(after[-1]["inference_flops_per_image"] for after in cells)
        records = [record for after in cells for record in after]
        peaks = [record["peak_memory_bytes"] for record in records]
        rows.append(
            {
                "method": label,
                "training_flops": round(flops),
                "normalized_compute": flops / sgd,
                "training_seconds": seconds[label],
                "normalized_seconds": seconds[label] / unit,
                "inference_flops_per_image": round(inference),
                "normalized_inference": inference / _mean(bare[order] for _, _, order in own),
                "evaluation_seconds": _mean(sum(record["evaluation_seconds"] for record in after) for after in cells),
                "evaluations": round(_mean(sum(record["evaluations"] for record in after) for after in cells)),
                "peak_memory_bytes": None if None in peaks else max(peaks),
                # What older versions learned has no such entry: they computed no features once.
                "features_cached": all(record.get("features_cached", False) for record in records),
            }
        )
    return pd.DataFrame(rows, columns=list(COMPUTE_COLUMNS))


def labels_of(manifest: Mapping[str, Any]) -> list[str]:
    """The labels of a run's methods, in the order of its tables."""
    return list(dict.fromkeys(cell["method"] for cell in manifest["cells"]))


def statuses(manifest: dict[str, Any]) -> dict[str, str]:
    """Each method's status: failed or diverged if a cell did, succeeded if all succeeded, else incomplete."""
    result: dict[str, str] = {}
    for label in labels_of(manifest):
        own = {cell["status"] for cell in manifest["cells"] if cell["method"] == label}
        bad = [status for status in (FAILED, DIVERGED) if status in own]
        result[label] = bad[0] if bad else SUCCEEDED if own == {SUCCEEDED} else "incomplete"
    return result


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)
