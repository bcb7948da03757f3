"""What a cell answered without knowing the task: a rule guesses it, and the guessed task's head answers.

`inferred-<k>.safetensors` holds what was answered after k tasks, for each task and each rule. An answer is a column
among the classes of the k tasks, side by side in the order of learning, so that the guessed task follows from it. The
file also says what the answers cost. It can be made again as long as the networks of its tasks exist; its key says
which they were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.storage.answers import Answers, arrays_of, read_arrays
from benchmark.storage.records import Record, Records
from benchmark.storage.sealed_tensors import Tensors, read_sealed, write_tensors


@dataclass(frozen=True)
class Inferred:
    """Answers after some tasks, and their costs.

    Attributes:
        answers: (place of the task whose images are asked, rule) -> answers, as columns.
        costs: rule -> `bytes` that the rule keeps, and `flops_per_image` that an answer takes in all: the passes
            through the networks that are asked, and the work of the rule.
        evaluations: passes over a task's test images that were made for these answers alone; a pass over a part of them
            counts as that part.
        frozen_evaluations: those through the backbone as given; they serve all methods of a seed and an order.
    """

    answers: Mapping[tuple[int, str], Answers]
    costs: Mapping[str, Mapping[str, int]]
    evaluations: float
    frozen_evaluations: int


def inferred_path(folder: Path, learned: int) -> Path:
    """The file of the answers that a cell gave after `learned` tasks by guessing the task."""
    return folder / f"inferred-{learned}.safetensors"


def key_of_networks(record: Record, rules: Sequence[str]) -> str:
    """A hash of all that the answers after the task of a record depend on: networks, images and rules."""
    networks = [entry["network"] for entry in record["evaluated"]]
    return hashlib.sha256("\n".join([*networks, *rules]).encode()).hexdigest()


def lost_inferred(folder: Path, records: Records, rules: Sequence[str], since: int = 0) -> list[int]:
    """After which tasks a cell lacks its answers, or has damaged ones, and can still give them.

    Args:
        folder: the cell's.
        records: those of all its tasks.
        rules: the rules of its answers.
        since: the files of so many tasks, from the first, are not looked at.
    """
    return [learned for learned, again in _missing(folder, records, rules, since).items() if again]


def gone_inferred(folder: Path, records: Records, rules: Sequence[str]) -> list[int]:
    """After which tasks a cell lacks its answers, or has damaged ones, and cannot give them again without learning."""
    return [learned for learned, again in _missing(folder, records, rules).items() if not again]


def _missing(folder: Path, records: Records, rules: Sequence[str], since: int = 0) -> dict[int, bool]:
    """After which tasks a cell lacks its answers -> whether their networks are those after the last record."""
    if not rules or not records:
        return {}
    now = {entry["task"]: entry["network"] for entry in records[-1]["evaluated"]}
    return {
        record["learned"]: all(now.get(entry["task"]) == entry["network"] for entry in record["evaluated"])
        for record in records[since:]
        if read_inferred(folder, record["learned"], key_of_networks(record, rules)) is None
    }


def write_inferred(folder: Path, learned: int, inferred: Inferred, key: str) -> None:
    """Write the answers that a cell gave after `learned` tasks.

    Args:
        folder: the cell's.
        learned: how many tasks were learned.
        inferred: the answers.
        key: that of the networks that gave them.

    Raises:
        StorageError: the file cannot be written.
    """
    arrays: Tensors = {}
    for (task, rule), answers in inferred.answers.items():
        arrays |= arrays_of(f"{task}.{rule}", answers)
    about = {
        "key": key,
        "costs": inferred.costs,
        "evaluations": inferred.evaluations,
        "frozen_evaluations": inferred.frozen_evaluations,
    }
    write_tensors(inferred_path(folder, learned), arrays, about)


def read_inferred(folder: Path, learned: int, key: str | None = None) -> Inferred | None:
    """The answers that a cell gave after `learned` tasks; None if the file is missing or damaged.

    Args:
        folder: the cell's.
        learned: how many tasks were learned.
        key: that of the networks that must have given the answers; None for any.
    """
    found = read_sealed(inferred_path(folder, learned))
    if found is None or key not in (None, found[1].get("key")):
        return None
    arrays, about = found
    try:
        names = dict.fromkeys(name.rpartition(".")[0] for name in arrays)
        answers = {_place(name): read_arrays(name, arrays) for name in names}
        return Inferred(answers, about["costs"], about["evaluations"], about["frozen_evaluations"])
    except (ValueError, KeyError):
        return None


def _place(name: str) -> tuple[int, str]:
    task, _, rule = name.partition(".")
    return int(task), rule
