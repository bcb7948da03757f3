"""The run folder: what a run leaves behind, and the tables that are computed from it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.files import MANIFEST, VanishedError, folder_name, refuse_foreign, write_atomically
from benchmark.json_files import misfit, read_json
from benchmark.records import read_record, record_path
from benchmark.reference import ALL_PAIRS
from benchmark.text import printable
from methods.errors import UserError

#: The manifest's cell statuses: those of a run in progress, and the ends of a cell.
PENDING, RUNNING, SUCCEEDED, FAILED, DIVERGED = "pending", "running", "succeeded", "failed", "diverged"

ACCURACY_COLUMNS = ("method", "seed", "learned", "task", "task_name", "accuracy", "images")
TASK_COLUMNS = (
    "task",
    "task_name",
    "classes",
    "train_images",
    "validation_images",
    "test_images",
    "image_size",
    "fingerprint",
)
PARAMETER_COLUMNS = (
    "method",
    "backbone_parameters",
    "extra_parameters_per_task",
    "extra_parameters_percent",
    "head_parameters_per_task",
    "frozen_bytes",
    "shared_bytes",
    "task_bytes",
    "memory_bytes",
    "replay_bytes",
    "state_bytes",
    "stored_bytes",
    "stored_percent",
)
COMPUTE_COLUMNS = (
    "method",
    "training_flops",
    "normalized_compute",
    "training_seconds",
    "normalized_seconds",
    "inference_flops_per_image",
    "normalized_inference",
    "evaluation_seconds",
    "evaluations",
    "peak_memory_bytes",
    "features_cached",
)

# The columns of any table that hold text.
_TEXT = ("method", "method_a", "method_b", "status", "task_name", "fingerprint", "backbone", "pretraining")


_MANIFEST = {
    "settings": dict,
    "seeds": list,
    "orders": [[int]],
    "stream": {"spec": str, "fingerprint": str},
    "backbone": {"spec": str, "fingerprint": str, "parameters": int},
    "tasks": [{"task": int, "task_name": str, "sgd_flops": int, "backbone_inference_flops": int}],
    "cells": [{"method": str, "seed": int, "order": int, "status": str}],
}


@dataclass(frozen=True)
class RunFolder:
    """One run's folder. See results/README.md for its files.

    Attributes:
        id: of the run that goes on in it, from its manifest; None for who takes what is there.
    """

    path: Path
    id: str | None = None

    @property
    def manifest_path(self) -> Path:
        return self.path / MANIFEST

    def exists(self) -> bool:
        """Whether a run was started here."""
        return self.manifest_path.is_file()

    def read_manifest(self) -> dict[str, Any]:
        """The manifest.

        Raises:
            UserError: there is none, or it cannot be read.
        """
        try:
            manifest = read_json(self.manifest_path)
        except FileNotFoundError:
            raise UserError(f"{self.path} is not a run folder: it holds no manifest.json") from None
        except ValueError as error:
            raise UserError(
                f"{self.manifest_path} is damaged: {error}; put a copy of it back, or begin a run of another name"
            ) from error
        if not isinstance(manifest, dict) or not {"settings", "cells", "tasks"} <= manifest.keys():
            raise UserError(f"{self.manifest_path} is not the manifest of a run; give the folder of a run")
        wrong = misfit(manifest, _MANIFEST)
        if wrong is not None:
            raise UserError(
                f"{self.manifest_path} is damaged: {wrong} is not what a run writes; put a copy of it back, or begin a "
                "run of another name"
            )
        # What a run did before there was a choice.
        only = {"orders": 1, "augment": [], "precision": "fp32", "compile": False}
        manifest["settings"] = only | manifest["settings"]
        manifest.setdefault("orders", [list(range(1, len(manifest["tasks"]) + 1))])
        for cell in manifest["cells"]:
            cell.setdefault("order", 0)
        manifest.setdefault("reference", next((cell["method"] for cell in manifest["cells"]), ALL_PAIRS))
        return manifest

    def check(self) -> None:
        """See that the folder is there, and still that of the run that goes on in it.

        Raises:
            VanishedError: it was removed, replaced, or cannot be reached.
        """
        if self.id is None:
            return
        try:
            found = json.loads(self.manifest_path.read_bytes())
        except (OSError, ValueError):
            found = None
        if not isinstance(found, dict) or found.get("id") != self.id:
            raise VanishedError(
                f"{self.path} was removed or replaced while the run went on: it does not hold the manifest.json of "
                "this run any more; put the folder back, or give the same command to learn what is missing"
            )

    def check_cells(self, manifest: Mapping[str, Any]) -> None:
        """See that what was measured in each cell that has succeeded is there.

        Raises:
            VanishedError: naming the first file that is not.
        """
        numbers = range(1, len(manifest["tasks"]) + 1)
        for cell in manifest["cells"]:
            if cell.get("status") == SUCCEEDED:
                self.check_records((cell["method"], cell["seed"], cell["order"]), numbers)

    def check_records(self, key: CellKey, numbers: Iterable[int]) -> None:
        """See that a cell's folder holds the records of the tasks with these numbers.

        Raises:
            VanishedError: naming the first that it does not.
        """
        for path in (record_path(self.cell(*key), number) for number in numbers):
            if not path.is_file():
                raise VanishedError(
                    f"{path} was there, and is missing; put it back, or give the command of the run again, which "
                    "learns what is missing"
                )

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Write the manifest, whole."""
        write_atomically(self.manifest_path, (json.dumps(manifest, indent=1) + "\n").encode())

    def cell(self, method: str, seed: int, order: int) -> Path:
        """The folder of a cell."""
        name = f"seed-{seed}-order-{order}" if order else f"seed-{seed}"
        return self.path / "cells" / folder_name(method) / name

    def write_csv(self, name: str, frame: pd.DataFrame) -> None:
        """Write a table, whole; `read_table` reads it."""
        plain = frame.map(lambda value: printable(value) if isinstance(value, str) else value)
        write_atomically(self.path / f"{name}.csv", plain.to_csv(index=False, lineterminator="\n").encode())

    def write_text(self, name: str, text: str) -> None:
        """Write a text file, whole."""
        write_atomically(self.path / name, printable(text, keep="\n").encode())


def read_table(path: Path) -> pd.DataFrame:
    """A table of a run, from its CSV file: names are text, even those like 007 or NA, and what is empty is NaN."""
    return pd.read_csv(path, dtype=dict.fromkeys(_TEXT, str), keep_default_na=False, na_values=[""])


#: A method's label, a seed, and the number of an order, from 0.
CellKey = tuple[str, int, int]


def open_run(path: Path) -> RunFolder:
    """The folder at `path` for a run that begins or goes on, made if needed.

    Raises:
        UserError: it cannot be written to, or holds something that is not of a run.
    """
    refuse_foreign(path, MANIFEST)
    open_folder(path)
    return RunFolder(path)


def open_folder(path: Path) -> None:
    """Make a folder if needed.

    Raises:
        UserError: it cannot be written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out: {path} cannot be made: {error.strerror}") from error
    if not os.access(path, os.W_OK):
        raise UserError(f"--out: {path} cannot be written to; choose another folder with --out DIR")


def read_records(folder: Path) -> list[dict[str, Any]]:
    """What a cell measured: the contents of after-1.json, after-2.json, ... up to the first that is not whole."""
    records: list[dict[str, Any]] = []
    while record := read_record(record_path(folder, len(records) + 1)):
        records.append(record)
    return records


#: What a cell measured, task after task.
Records = list[dict[str, Any]]


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
