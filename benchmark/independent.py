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
from benchmark.results import read_records
from benchmark.state import PackedState, save_parts, write_record


def save_alone(folder: Path, packed: PackedState, record: dict[str, Any]) -> None:
    """Write one task of a cell.

    Args:
        folder: of the cell; made if needed.
        packed: the state that holds this task and nothing else.
        record: what was measured.
    """
    save_parts(folder, packed)
    content = json.dumps({**record, "checksums": packed.checksums})
    write_atomically(_alone(folder, record["learned"]), content.encode())


def learned_tasks(folder: Path, tasks: int) -> set[int]:
    """The numbers of the tasks, from 1, that a cell's folder holds, whether in sequence or alone."""
    sequence = len(read_records(folder))
    return {number for number in range(1, tasks + 1) if number <= sequence or _alone(folder, number).exists()}


def unite(folder: Path) -> None:
    """Put tasks that were learned alone behind those that the folder holds in sequence, as far as none is missing."""
    records = read_records(folder)
    while (path := _alone(folder, len(records) + 1)).exists():
        alone = json.loads(path.read_bytes())
        records.append(_behind(records[-1], alone) if records else _first(alone))
        write_record(folder, records[-1])
        path.unlink()


def _first(alone: dict[str, Any]) -> dict[str, Any]:
    nothing = {part: 0 for part in alone["bytes"] if part != "frozen"}
    return {**alone, "bytes_before": nothing}


def _behind(last: dict[str, Any], alone: dict[str, Any]) -> dict[str, Any]:
    """The record of a task that was learned alone, behind the one of the task before it."""
    before = {part: size for part, size in last["bytes"].items() if part != "frozen"}
    return {
        **alone,
        "bytes_before": before,
        "bytes": {part: before.get(part, 0) + size for part, size in alone["bytes"].items()},
        "evaluated": last["evaluated"] + alone["evaluated"],
        "checksums": last["checksums"] | alone["checksums"],
    }


def _alone(folder: Path, task: int) -> Path:
    return folder / f"alone-{task}.json"
