"""The answers of networks to the test images, and the files that keep them.

`answers-<k>.safetensors` holds what was evaluated after task k. What had not changed by then is not in it: the record
of the task refers to an earlier file, see `Reference`. An entry of a record may refer to several answers to the same
images, each by a name. The first are the run's own; their name is the scenario: "task" (the task of each image was
known), "class" or "domain". In the scenario "class", answers are columns among the classes of all tasks, and "derived"
are those that the same logits give among the classes of the image's own task.

Where tasks are guessed from how sure the networks are, the file also has how sure the network was by each of these
rules, as float32.

In the file a class has the smallest unsigned integer type that holds it, and a confidence c is round(65535 c) in two
bytes. A float16 would lose what is above 0.9998, where sure answers are; this keeps steps of 0.000015 everywhere. Zero
stands for "not a number", which no probability is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from benchmark.files import content_of
from benchmark.storage.records import Record, Records
from benchmark.storage.sealed_tensors import Tensors

#: The name of answers that follow from the logits of others, if the task of each image is known.
DERIVED = "derived"

_STEM = "answers-"
# In a file, the task after which it was made has no number, so that the file is the same wherever that task stands.
_OWN = "own"
_CLASSES, _CONFIDENCE, _SURENESS = ".classes", ".confidence", ".sureness "
_MOST = 65535


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network answered, image by image.

    Attributes:
        classes: int64 [N], the index of the class within the task.
        confidence: float32 [N], the softmax probability of that class; NaN if the network gave no numbers.
        sureness: rule of task inference -> float32 [N], how sure the network was: larger is surer.
    """

    classes: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float32]
    sureness: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.classes)

    def __eq__(self, other: object) -> bool:
        """Whether both are the same to the last bit."""
        return isinstance(other, Answers) and self._bytes() == other._bytes()

    __hash__ = None  # type: ignore[assignment]

    def _bytes(self) -> list[bytes]:
        sureness = (values for rule, known in sorted(self.sureness.items()) for values in (np.array(rule), known))
        return [array.tobytes() for array in (self.classes, self.confidence, *sureness)]

    def as_kept(self) -> Answers:
        """These answers as they are read from a file."""
        return read_arrays("", arrays_of("", self))


@dataclass(frozen=True)
class Reference:
    """Where answers are kept, as the text "answers-3/own" in a record.

    Attributes:
        learned: the number of the task after which they were given.
        name: their name in that file.
    """

    learned: int
    name: str

    @classmethod
    def to_task(cls, task: int, learned: int, who: str = "") -> Reference:
        """The answers to a task's images that are given after `learned` tasks.

        Args:
            task: the task's number.
            learned: how many were learned.
            who: the name of the answers in an entry; for all but DERIVED the place is the same.
        """
        name = _OWN if task == learned else str(task)
        return cls(learned, f"{name}.{DERIVED}" if who == DERIVED else name)

    @classmethod
    def parse(cls, text: str) -> Reference:
        """The reference that a record holds as text."""
        stem, _, name = text.partition("/")
        return cls(int(stem.removeprefix(_STEM)), name)

    def __str__(self) -> str:
        return f"{_STEM}{self.learned}/{self.name}"


def answers_path(folder: Path, learned: int) -> Path:
    """The file of the answers that a cell gave after `learned` tasks."""
    return folder / f"{_STEM}{learned}.safetensors"


def pack_answers(answers: Mapping[Reference, Answers]) -> bytes:
    """The content of a file."""
    arrays: Tensors = {}
    for reference, each in answers.items():
        arrays |= arrays_of(reference.name, each)
    return safetensors.numpy.save(arrays)


def arrays_of(name: str, answers: Answers) -> Tensors:
    """Answers as arrays of a file, whose names begin with `name`."""
    kind = np.min_scalar_type(int(answers.classes.max(initial=0)))
    confidence = np.nan_to_num(answers.confidence.astype(np.float64), nan=0.0)
    return {
        f"{name}{_CLASSES}": answers.classes.astype(kind),
        f"{name}{_CONFIDENCE}": np.rint(confidence * _MOST).astype(np.uint16),
        **{f"{name}{_SURENESS}{rule}": values for rule, values in answers.sureness.items()},
    }


def read_arrays(name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> Answers:
    """The inverse of `arrays_of`.

    Raises:
        KeyError: the arrays have no answers of that name.
    """
    classes, confidence, sure = arrays[name + _CLASSES], arrays[name + _CONFIDENCE], name + _SURENESS
    shares = (confidence / np.float32(_MOST)).astype(np.float32)
    return Answers(
        classes.astype(np.int64),
        np.where(confidence == 0, np.float32(np.nan), shares),
        {each.removeprefix(sure): values for each, values in arrays.items() if each.startswith(sure)},
    )


def checksum(content: bytes) -> str:
    """The checksum of a file's content, as the record of its task has it."""
    return hashlib.sha256(content).hexdigest()


def read_answers(folder: Path, record: Record) -> dict[str, Answers]:
    """The answers that were given after the task of a record: name in a reference -> answers.

    Args:
        folder: the cell's.

    Returns:
        Nothing if the file is missing or damaged, or an earlier version wrote the record.
    """
    content = kept_file(folder, record)
    if not content:
        return {}
    try:
        tensors = safetensors.numpy.load(content)
        names = [name.removesuffix(_CLASSES) for name in tensors if name.endswith(_CLASSES)]
        return {name: read_arrays(name, tensors) for name in names}
    except (safetensors.SafetensorError, KeyError):
        return {}


def kept_file(folder: Path, record: Record) -> bytes | None:
    """The content of the file with the answers given after a record's task.

    Empty if there are none, because an earlier version wrote the record; None if the file is missing or damaged.
    """
    if not record.get("answers"):
        return b""
    content = content_of(answers_path(folder, record["learned"]))
    return content if content is not None and checksum(content) == record["answers"] else None


def moved(entry: dict[str, Any], number: int) -> dict[str, Any]:
    """An entry of a record, of the answers to the task that was learned last, if that was task `number`."""
    kept = {who: str(replace(Reference.parse(text), learned=number)) for who, text in entry.get("answers", {}).items()}
    return {**entry, "task": number, **({"answers": kept} if kept else {})}


def lost_answers(folder: Path, records: Records) -> list[int]:
    """After which tasks a cell gave answers whose file is missing now, or damaged."""
    return [record["learned"] for record in records if kept_file(folder, record) is None]


def given_after(records: Records, learned: int) -> dict[int, Reference]:
    """Task -> its answers, for those that were given after `learned` tasks and not before."""
    found = references(records[learned - 1])
    return {task: reference for task, reference in found.items() if reference.learned == learned}


def can_be_given_again(records: Records, learned: int) -> bool:
    """Whether the state after all these records still gives all answers that were given after `learned` tasks."""
    now = references(records[-1])
    return all(now.get(task) == reference for task, reference in given_after(records, learned).items())


def references(record: Record) -> dict[int, Reference]:
    """Task -> the place of the run's own answers to it after the task of a record; without those that are not kept."""
    entries = [(entry["task"], [*entry.get("answers", {}).values()]) for entry in record["evaluated"]]
    return {task: Reference.parse(places[0]) for task, places in entries if places}
