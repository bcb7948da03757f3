"""What crosses from one task to the next: a flat set of named tensors in four parts, and its files.

`after-<k>.json` is written last and names the checksum of each part; a step that is interrupted before that does not
count. A file that replaces another is first written as `*.next` and renamed afterwards, so one complete state is always
on the disk.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from benchmark.files import make_below, reading, uninterrupted, write_atomically, writing
from benchmark.storage.answers import answers_path, can_be_given_again, lost_answers
from benchmark.storage.inferred import gone_inferred, inferred_path
from benchmark.storage.records import CELL_LEVELS, Record, Records, read_records, record_path, write_record
from methods.errors import UserError, first_line
from methods.heads import is_head, placed, placeless
from methods.method import REPLAY

Tensors = dict[str, Tensor]

_TASK, _MEMORY = "task-", "memory-"
# The names of files that are written here; other files may be the user's, and stay.
_STEM = re.compile(r"(task|shared|memory)-\d+")


@dataclass(frozen=True)
class State:
    """A method's state after some tasks. Tensors are on the CPU.

    Attributes:
        learned: the number of tasks learned.
        shared: the tensors that every task uses and later tasks may overwrite.
        tasks: task number -> the tensors that belong to that task alone, its head included.
        memory: the tensors that the method keeps for learning later tasks.
    """

    learned: int
    shared: Tensors
    tasks: dict[int, Tensors] = field(default_factory=dict)
    memory: Tensors = field(default_factory=dict)

    def parts(self) -> Iterator[tuple[str, Tensors]]:
        """(file stem, tensors) of each part that is not empty."""
        for number, tensors in self.tasks.items():
            if tensors:
                yield task_stem(number), tensors
        if self.shared:
            yield f"shared-{self.learned}", self.shared
        if self.memory:
            yield f"memory-{self.learned}", self.memory

    def count_bytes(self) -> dict[str, int]:
        """The size of each part, and of heads and stored samples, which have their own columns."""
        task = list(self.tasks.values())
        heads = [{k: v for k, v in part.items() if is_head(k)} for part in (*task, self.shared)]
        return {
            "shared": tensor_bytes(self.shared),
            "task": sum(map(tensor_bytes, task)),
            "memory": tensor_bytes(self.memory),
            "heads": sum(map(tensor_bytes, heads)),
            "replay": tensor_bytes({k: v for k, v in self.memory.items() if k.startswith(REPLAY)}),
        }


@dataclass(frozen=True)
class PackedState:
    """A state as the bytes of its files.

    Attributes:
        blobs: file stem -> content, for the files that must be written.
        checksums: file stem -> SHA-256 of the content, for all files.
        answers: the content of the file of answers; empty if there are none. They are not a part of the state: the
            record has their checksum.
    """

    blobs: dict[str, bytes]
    checksums: dict[str, str]
    answers: bytes = b""


def pack(state: State, before: State, checksums: Mapping[str, str]) -> PackedState:
    """The files that hold `state`, less those that have not changed since the state `before`.

    Args:
        before: the state from which `state` was learned; tensors that are the same objects in both are not packed
            again.
        checksums: those of the files of `before`.
    """
    old = dict(before.parts())
    unchanged = [stem for stem, tensors in state.parts() if tensors is old.get(stem) and stem in checksums]
    blobs = {stem: safetensors.torch.save(_in_file(stem, t)) for stem, t in state.parts() if stem not in unchanged}
    new = {stem: hashlib.sha256(blob).hexdigest() for stem, blob in blobs.items()}
    return PackedState(blobs, {**{stem: checksums[stem] for stem in unchanged}, **new})


def checksum_of(checksums: Mapping[str, str], part: str) -> str:
    """The checksum of "shared" or "task-3" among those of a state's files; empty if that part is empty."""
    stem = next((stem for stem in checksums if stem == part or stem.startswith(f"{part}-")), None)
    return checksums[stem] if stem else ""


@uninterrupted()
def save(folder: Path, packed: PackedState, record: Record, keep_states: bool = False) -> None:
    """Write a state and its measurements. Ctrl-C waits until that is done.

    Args:
        folder: the cell's; made if needed.
        packed: the state after `record["learned"]` tasks.
        record: the content of after-<k>.json; the checksums are added to it.
        keep_states: keep the shared and memory files of earlier tasks.

    Raises:
        StorageError: something cannot be written; the previous state still exists.
    """
    with writing(folder):
        make_below(folder, CELL_LEVELS)
    for stem, blob in packed.blobs.items():
        path = part_path(folder, stem)
        if not path.exists():
            write_atomically(path, blob)
        elif _checksum(path) != packed.checksums[stem]:
            write_atomically(_next(path), blob)
    if packed.answers:
        write_atomically(answers_path(folder, record["learned"]), packed.answers)
    written = {**record, **({"keep_states": True} if keep_states else {}), "checksums": packed.checksums}
    write_record(record_path(folder, record["learned"]), written)
    _settle(folder, written)


def load(folder: Path, start: Callable[[], State], rules: Sequence[str] = ()) -> tuple[State, list[Record]]:
    """The newest complete state, and the records up to it. Later records, of damaged states, are removed.

    Args:
        folder: the cell's; need not exist.
        start: makes the state before the first task, if no complete state exists.
        rules: those by which the cell guesses tasks.

    Returns:
        the state, and the contents of after-1.json ... after-<learned>.json.
    """
    records, damaged = find_newest(folder, rules)
    if damaged:
        for path in folder.glob("after-*.json"):
            number = path.stem.removeprefix("after-")
            if number.isdecimal() and int(number) > len(records):
                path.unlink()
    if not records:
        return start(), []
    _settle(folder, records[-1])
    return _read(folder, len(records), records[-1]["checksums"]), records


def read_newest(folder: Path) -> tuple[State, Records] | None:
    """The state after the last task learned, without its memory, and the records up to it; nothing is changed.

    Args:
        folder: the cell's; need not exist. A run may go on in it.

    Returns:
        None if no task is learned.

    Raises:
        UserError: a record, or a file of the state, is damaged or missing.
    """
    records = read_records(folder)
    unread = record_path(folder, len(records) + 1)
    # A record is there as a whole or not at all, also while a run goes on.
    if unread.exists() and len(read_records(folder)) == len(records):
        raise UserError(
            f"{unread} is damaged; give the command of the run again with its --name, which learns again what cannot "
            "be read"
        )
    if not records:
        return None
    used = {stem: value for stem, value in records[-1]["checksums"].items() if not stem.startswith(_MEMORY)}
    for path in damaged_parts(folder, used):
        raise UserError(
            f"{path} is damaged or missing; give the command of the run again with its --name, which learns again what "
            "cannot be read"
        )
    with reading(folder):
        return _read(folder, len(records), used), records


def find_newest(folder: Path, rules: Sequence[str] = ()) -> tuple[list[Record], list[Path]]:
    """The records up to the newest complete state, and the files that make later states incomplete.

    Args:
        folder: the cell's; need not exist.
        rules: those by which the cell guesses tasks.
    """
    records = read_records(folder)
    unread = record_path(folder, len(records) + 1)
    damaged = [unread] if unread.exists() else []
    while records and (lost := damaged_parts(folder, records[-1]["checksums"]) or _gone(folder, records, rules)):
        # An earlier state may lack files because they were removed when they were no longer needed.
        damaged = damaged or lost
        records.pop()
    return records, damaged


def _gone(folder: Path, records: list[Record], rules: Sequence[str]) -> list[Path]:
    """The files of answers that are missing or damaged, and that the state after these records cannot give again."""
    lost = lost_answers(folder, records)
    own = [answers_path(folder, learned) for learned in lost if not can_be_given_again(records, learned)]
    return own + [inferred_path(folder, learned) for learned in gone_inferred(folder, records, rules)]


def damaged_parts(folder: Path, checksums: Mapping[str, str]) -> list[Path]:
    """The files of a state that are missing or differ from their checksums in its record."""
    parts = [(part_path(folder, stem), value) for stem, value in checksums.items()]
    return [path for path, value in parts if value not in (_checksum(path), _checksum(_next(path)))]


def _read(folder: Path, learned: int, checksums: Mapping[str, str]) -> State:
    def part(stem: str) -> Tensors:
        if stem not in checksums:
            return {}
        path = _newest_path(folder, stem, checksums[stem])
        try:
            tensors = safetensors.torch.load_file(path)
        except safetensors.SafetensorError as error:
            # The checksum fits, so somebody replaced the file and its checksum in the record.
            raise UserError(
                f"{path} holds no tensors ({first_line(error)}); remove it, and it is made again"
            ) from error
        return placed(tensors, stem.removeprefix(_TASK)) if stem.startswith(_TASK) else tensors

    tasks = {number: part(task_stem(number)) for number in range(1, learned + 1)}
    return State(learned, part(f"shared-{learned}"), tasks, part(f"memory-{learned}"))


def _settle(folder: Path, record: Record) -> None:
    """Make a cell's files agree with its newest record, because a step may have been interrupted before this.

    Each `*.next` file of the state replaces the older file, and files that only the previous state needs are removed.
    """
    checksums = record["checksums"]
    for path in folder.glob("*.safetensors.next"):
        final = path.with_suffix("")
        if not _STEM.fullmatch(final.stem):
            continue
        if _checksum(path) == checksums.get(final.stem):
            path.replace(final)
        else:
            path.unlink()
    if record.get("keep_states"):
        return
    for part in ("shared", "memory"):
        for path in folder.glob(f"{part}-*.safetensors"):
            if _STEM.fullmatch(path.stem) and path.stem not in checksums:
                path.unlink()


def task_stem(number: int) -> str:
    """The name of the part that belongs to a task alone."""
    return f"{_TASK}{number}"


def is_task(stem: str) -> bool:
    """Whether a part belongs to a task alone."""
    return stem.startswith(_TASK)


def part_path(folder: Path, stem: str) -> Path:
    """The file of a part of a state."""
    return folder / f"{stem}.safetensors"


def _next(path: Path) -> Path:
    return path.with_name(path.name + ".next")


def _newest_path(folder: Path, stem: str, checksum: str) -> Path:
    """The file of a part with that checksum: the one that is to replace another may not have done so yet."""
    path = part_path(folder, stem)
    return _next(path) if _checksum(_next(path)) == checksum else path


def _checksum(path: Path) -> str:
    """SHA-256 of a file; empty if it does not exist."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


def _in_file(stem: str, tensors: Tensors) -> Tensors:
    """The tensors of a part with the names and layout of its file."""
    # Only a task's file has a head of its own; in the others any name is the method's.
    named = placeless(tensors, stem.removeprefix(_TASK)) if stem.startswith(_TASK) else tensors
    return {name: tensor.contiguous() for name, tensor in named.items()}


def tensor_bytes(tensors: Mapping[str, Tensor]) -> int:
    """The bytes of the tensors' values: their file without its header."""
    return sum(tensor.nbytes for tensor in tensors.values())
