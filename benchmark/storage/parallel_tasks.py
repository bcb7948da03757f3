"""Tasks of a cell that need no other task: their files, and how these become the files of a cell learned in sequence.

A task that was learned alone leaves `task-<t>.safetensors`, as always, and `alone-<t>.json`. As soon as all earlier
tasks exist, `alone-<t>.json` becomes `after-<t>.json`. Apart from seconds and RAM, it is the same as if the tasks had
been learned in sequence.

Such a task is the same in every order of the stream, so another cell takes it over with its measurements: only the
task's number changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.files import make_below, reading, uninterrupted, write_atomically, writing
from benchmark.storage.answers import answers_path, kept_file, lost_answers, moved
from benchmark.storage.records import CELL_LEVELS, Record, Records, read_record, read_records, record_path, write_record
from benchmark.storage.state import PackedState, damaged_parts, find_newest, is_task, part_path, task_stem


@uninterrupted()
def save_alone(folder: Path, packed: PackedState, record: Record) -> None:
    """Write one task of a cell. Ctrl-C waits until that is done.

    Args:
        folder: the cell's; made if needed.
        packed: the state with only this task.
        record: what was measured.

    Raises:
        StorageError: something cannot be written.
    """
    with writing(folder):
        make_below(folder, CELL_LEVELS)
    for stem, blob in packed.blobs.items():
        # A file that already exists has no record, so it belongs to no state.
        write_atomically(part_path(folder, stem), blob)
    if packed.answers:
        write_atomically(answers_path(folder, record["learned"]), packed.answers)
    write_record(_path(folder, record["learned"]), {**record, "checksums": packed.checksums})


@dataclass(frozen=True)
class Alone:
    """A task as if it had been learned alone: what `save_alone` writes.

    Attributes:
        packed: the file of the task, and that of its answers.
        record: what was measured.
    """

    packed: PackedState
    record: Record

    def moved(self, number: int) -> Alone:
        """The same task as number `number` of the stream."""
        stem, old = task_stem(number), task_stem(self.record["learned"])
        packed = PackedState({stem: self.packed.blobs[old]}, {stem: self.packed.checksums[old]}, self.packed.answers)
        (evaluated,) = self.record["evaluated"]
        return Alone(packed, {**self.record, "learned": number, "evaluated": [moved(evaluated, number)]})


def find_alone(folder: Path, number: int) -> Alone | None:
    """Task `number` of a cell whose tasks need no other task; None if it is missing or damaged.

    Args:
        folder: the cell's; need not exist.
        number: the task's number, from 1.
    """
    stem = task_stem(number)
    for path in (record_path(folder, number), _path(folder, number)):
        record = read_record(path)
        # If it has more than its own part, it is not independent, although its method says so.
        if record is None or not all(is_task(part) for part in record["checksums"]):
            continue
        with reading(folder):
            try:
                blob = part_path(folder, stem).read_bytes()
            except FileNotFoundError:
                return None
        checksum, answers = hashlib.sha256(blob).hexdigest(), kept_file(folder, record)
        if checksum == record["checksums"].get(stem) and answers is not None:
            return Alone(PackedState({stem: blob}, {stem: checksum}, answers), _by_itself(record))
    return None


def _by_itself(record: Record) -> Record:
    """The record of a task learned in sequence or alone, without what earlier tasks added to it."""
    earlier = record["bytes_before"]
    return {
        **{key: value for key, value in record.items() if key not in ("keep_states", "checksums")},
        "bytes_before": dict.fromkeys(earlier, 0),
        "bytes": {part: size - earlier.get(part, 0) for part, size in record["bytes"].items()},
        "evaluated": record["evaluated"][-1:],
    }


@dataclass(frozen=True)
class Found:
    """What a cell's folder holds.

    Attributes:
        sequence: the number of tasks after which it has a whole state.
        alone: the numbers of whole tasks that were learned alone.
        damaged: files without which it would hold more; only whoever learns the cell in sequence can put that right.
        keeps: whether the newest state of the sequence holds more than single tasks: those behind it need that.
    """

    sequence: int
    alone: frozenset[int]
    damaged: tuple[Path, ...]
    keeps: bool = False

    @property
    def tasks(self) -> set[int]:
        """The numbers of the tasks, from 1, that were learned."""
        return {*range(1, self.sequence + 1), *self.alone}


def look(folder: Path, rules: Sequence[str] = ()) -> Found:
    """See what a cell's folder holds. It need not exist; nothing is changed.

    Args:
        folder: the cell's.
        rules: those by which the cell guesses tasks.
    """
    records, damaged = find_newest(folder, rules)
    whole = set()
    for number, path in alone_paths(folder).items():
        record = read_record(path)
        lost = [*damaged_parts(folder, record["checksums"]), *_lost(folder, [record])] if record else [path]
        if not lost:
            whole.add(number)
        damaged += lost
    # Those of the sequence can be made again without learning, but only by whoever has the whole cell.
    damaged += _lost(folder, records)
    return Found(len(records), frozenset(whole), tuple(damaged), _keeps(records))


def _lost(folder: Path, records: Records) -> list[Path]:
    return [answers_path(folder, learned) for learned in lost_answers(folder, records)]


def unite(folder: Path) -> bool:
    """Append tasks that were learned alone to the folder's sequence, up to the first that is missing.

    Those behind a task that has kept something are removed: in sequence, they would have found it.

    Returns:
        Whether any were put there.
    """
    paths = alone_paths(folder)
    if not paths:
        return False
    alone = {number: record for number, path in paths.items() if (record := read_record(path))}
    records = read_records(folder)
    sequence = len(records)
    while len(records) + 1 in alone and not _keeps(records):
        records.append(_behind(records, alone[len(records) + 1]))
        write_record(record_path(folder, len(records)), records[-1])
    # Some may be of tasks that were in the sequence already: this was interrupted here before, or they were damaged.
    for number in paths if _keeps(records) else paths.keys() & range(1, len(records) + 1):
        paths[number].unlink(missing_ok=True)
    return len(records) > sequence


def _keeps(records: Records) -> bool:
    """Whether the state after the last of these tasks holds something that the next one may use."""
    return bool(records) and not all(map(is_task, records[-1]["checksums"]))


def _behind(records: Records, alone: Record) -> Record:
    """The record of a task that was learned alone, as the next one of `records`."""
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


def alone_paths(folder: Path) -> dict[int, Path]:
    """Task -> the file of its record, for tasks that were learned alone."""
    numbers = {path.stem.removeprefix("alone-"): path for path in folder.glob("alone-*.json")}
    return {int(number): path for number, path in numbers.items() if number.isdecimal()}


def _path(folder: Path, task: int) -> Path:
    return folder / f"alone-{task}.json"
