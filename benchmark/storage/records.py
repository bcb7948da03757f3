"""The measurements of a task, in a file that shows whether it is undamaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmark.files import content_of, write_atomically
from benchmark.storage.json_files import misfit, sealed, unsealed

#: A task's measurements, by name.
Record = dict[str, Any]

#: How many folders a cell's record is below its run's folder: cells/METHOD/seed-0.
CELL_LEVELS = 3

_RECORD = {
    "learned": int,
    "evaluated": [{"task": int, "images": int, "answers": dict}],
    "answers": str,
    "bytes": dict,
    "checksums": dict,
}


def record_path(folder: Path, learned: int) -> Path:
    """The path of the record of a cell's state after `learned` tasks."""
    return folder / f"after-{learned}.json"


def write_record(path: Path, record: Record) -> None:
    """Write a record atomically.

    Args:
        record: with "learned", the number of tasks, and "checksums", those of the state's files.

    Raises:
        StorageError: it cannot be written.
    """
    write_atomically(path, sealed(json.dumps(record, indent=1)))


def read_record(path: Path) -> Record | None:
    """A record; None if it is missing or damaged.

    Raises:
        VanishedError: it cannot be read.
    """
    content = content_of(path)
    record = None if content is None else unsealed(content)
    return record if record is not None and misfit(record, _RECORD) is None else None


#: A method's label, a seed, and the number of an order, from 0.
CellKey = tuple[str, int, int]


def read_records(folder: Path) -> list[dict[str, Any]]:
    """What a cell measured: the contents of after-1.json, after-2.json, ... before the first damaged one."""
    records: list[dict[str, Any]] = []
    while record := read_record(record_path(folder, len(records) + 1)):
        records.append(record)
    return records


#: What a cell measured, task after task.
Records = list[dict[str, Any]]
