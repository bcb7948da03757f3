"""Tasks of a cell that are learned at once: their files, and how they become those of a cell learned in sequence.

A task that was learned by itself leaves `task-<t>.safetensors`, as always, and `alone-<t>.json`. As soon as all tasks
before it are there, the latter becomes `after-<t>.json`, which is the same as if they had been learned in sequence,
measured seconds and memory aside.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmark.files import write_atomically
from benchmark.results import Records, read_records
from benchmark.state import PackedState, is_intact, part_path, write_record


def save_alone(folder: Path, packed: PackedState, record: dict[str, Any]) -> None:
    """Write one task of a cell.

    Args:
        folder: of the cell; made if needed.
        packed: the state that holds this task and nothing else.
        record: what was measured.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for stem, blob in packed.blobs.items():
        # What may be there has no record: it belongs to no state.
        write_atomically(part_path(folder, stem), blob)
    content = json.dumps({**record, "checksums": packed.checksums})
    write_atomically(_path(folder, record["learned"]), content.encode())


def learned_tasks(folder: Path) -> set[int] | None:
    """The numbers of the tasks, from 1, that a cell's folder holds, in sequence or alone.

    Returns:
        None if the file of one of them is damaged: only whoever learns the cell in sequence can put that right.
    """
    records = read_records(folder)
    alone = _read_alone(folder)
    if not all(is_intact(folder, record["checksums"]) for record in [*records[-1:], *alone.values()]):
        return None
    return {*range(1, len(records) + 1), *alone}


def unite(folder: Path) -> bool:
    """Put tasks that were learned alone behind those that the folder holds in sequence, as far as none is missing.

    Returns:
        Whether there were any.
    """
    alone = _read_alone(folder)
    if not alone:
        return False
    records = read_records(folder)
    sequence = len(records)
    while len(records) + 1 in alone:
        records.append(_behind(records, alone[len(records) + 1]))
        write_record(folder, records[-1])
    # Some may be of tasks that were in the sequence already: this was interrupted here before.
    for number in alone.keys() & range(1, len(records) + 1):
        _path(folder, number).unlink()
    return len(records) > sequence


def _behind(records: Records, alone: dict[str, Any]) -> dict[str, Any]:
    """The record of a task that was learned alone, behind those of the tasks before it."""
    if not records:
        return alone
    last = records[-1]
    before = {part: size for part, size in last["bytes"].items() if part != "frozen"}
    return {
        **alone,
        "bytes_before": before,
        "bytes": {part: before.get(part, 0) + size for part, size in alone["bytes"].items()},
        "evaluated": last["evaluated"] + alone["evaluated"],
        "checksums": last["checksums"] | alone["checksums"],
    }


def _read_alone(folder: Path) -> dict[int, dict[str, Any]]:
    """Task -> its record, of the tasks that were learned alone."""
    records = (json.loads(path.read_bytes()) for path in folder.glob("alone-*.json"))
    return {record["learned"]: record for record in records}


def _path(folder: Path, task: int) -> Path:
    return folder / f"alone-{task}.json"
