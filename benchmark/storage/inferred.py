"""What a cell answered without knowing the task: a rule guesses it, and the guessed task's head answers.

`inferred-<k>.safetensors` holds what was answered after k tasks, for each task and each rule. An answer is a column
among the classes of the k tasks, side by side in the order of learning, so that the guessed task follows from it. The
file also says what the answers cost. It can be made again as long as the networks of its tasks exist; its key says
which they were.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.numpy

from benchmark.storage.answers import Answers, Arrays, arrays_of, read_arrays
from benchmark.storage.records import Record, Records

# The library writes several entries in any order.
_ONLY = "content"


@dataclass(frozen=True)
class Inferred:
    """Answers after some tasks, and their costs.

    Attributes:
        answers: (place of the task whose images are asked, rule) -> answers, as columns.
        costs: rule -> `bytes` that the rule keeps, and `flops_per_image` that an answer takes in all: the passes
            through the networks that are asked, and the work of the rule.
        evaluations: passes over a task's test images that were made for these answers alone.
        frozen_evaluations: those through the backbone as given; they serve all methods of a seed and an order.
    """

    answers: Mapping[tuple[int, str], Answers]
    costs: Mapping[str, Mapping[str, int]]
    evaluations: int
    frozen_evaluations: int


def inferred_path(folder: Path, learned: int) -> Path:
    """The file of the answers that a cell gave after `learned` tasks by guessing the task."""
    return folder / f"inferred-{learned}.safetensors"


def key_of_networks(record: Record, rules: Sequence[str]) -> str:
    """A hash of all that the answers after the task of a record depend on: networks, images and rules."""
    networks = [entry["network"] for entry in record["evaluated"]]
    return hashlib.sha256("\n".join([*networks, *rules]).encode()).hexdigest()


def lost_inferred(folder: Path, records: Records, rules: Sequence[str]) -> list[int]:
    """After which tasks a cell lacks its answers, or has damaged ones, and can still give them.

    It can as long as the networks of these tasks are those after the last record.
    """
    now = {entry["task"]: entry["network"] for entry in records[-1]["evaluated"]} if records else {}
    return [
        record["learned"]
        for record in records
        if all(now.get(entry["task"]) == entry["network"] for entry in record["evaluated"])
        and read_inferred(folder, record["learned"], key_of_networks(record, rules)) is None
    ]


def pack_inferred(inferred: Inferred, key: str) -> bytes:
    """The content of the file."""
    arrays: Arrays = {}
    for (task, rule), answers in inferred.answers.items():
        arrays |= arrays_of(f"{task}.{rule}", answers)
    content = {
        "key": key,
        "costs": inferred.costs,
        "evaluations": inferred.evaluations,
        "frozen_evaluations": inferred.frozen_evaluations,
    }
    sealed = {"content": content, "checksum": _checksum(arrays, content)}
    return safetensors.numpy.save(arrays, {_ONLY: json.dumps(sealed)})


def read_inferred(folder: Path, learned: int, key: str | None = None) -> Inferred | None:
    """The answers that a cell gave after `learned` tasks; None if the file is missing or damaged.

    Args:
        folder: the cell's.
        learned: how many tasks were learned.
        key: that of the networks that must have given the answers; None for any.
    """
    try:
        arrays, content = _read(inferred_path(folder, learned))
        names = dict.fromkeys(name.rpartition(".")[0] for name in arrays)
        answers = {_place(name): read_arrays(name, arrays) for name in names}
        if key is not None and content["key"] != key:
            return None
        return Inferred(answers, content["costs"], content["evaluations"], content["frozen_evaluations"])
    except (FileNotFoundError, NotADirectoryError, safetensors.SafetensorError, ValueError, KeyError):
        return None


def _read(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """The arrays of a file, and what it says about them.

    Raises:
        FileNotFoundError, NotADirectoryError: it is missing.
        SafetensorError, KeyError, ValueError: it is damaged.
    """
    with safetensors.safe_open(path, framework="numpy") as file:
        sealed = json.loads((file.metadata() or {})[_ONLY])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if sealed["checksum"] != _checksum(arrays, sealed["content"]):
        raise ValueError(f"{path} is damaged")
    return arrays, sealed["content"]


def _place(name: str) -> tuple[int, str]:
    task, _, rule = name.partition(".")
    return int(task), rule


def _checksum(arrays: Arrays, content: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(content).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{name} {array.dtype} {len(array)}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
