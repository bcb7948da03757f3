"""The files of answers: what they hold, how small they are, and what is known about damaged ones."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from benchmark.storage.answers import (
    DERIVED,
    Answers,
    Reference,
    answers_path,
    can_be_given_again,
    lost_answers,
    moved,
    pack_answers,
    read_answers,
)


def answers(classes: list[int], confidence: list[float]) -> Answers:
    return Answers(np.array(classes, dtype=np.int64), np.array(confidence, dtype=np.float32))


def write(folder: Path, learned: int, known: dict[int, Answers]) -> dict[str, Any]:
    """Write the file of these answers, by their tasks; returns a record that refers to them."""
    references = {task: Reference.to_task(task, learned) for task in known}
    content = pack_answers({references[task]: each for task, each in known.items()})
    answers_path(folder, learned).write_bytes(content)
    return {
        "learned": learned,
        "evaluated": [{"task": task, "answers": {"task": str(reference)}} for task, reference in references.items()],
        "answers": hashlib.sha256(content).hexdigest(),
    }


def test_what_is_written_is_read(tmp_path: Path) -> None:
    known = {1: answers([0, 2, 1], [0.5, 1.0, 1 / 3]), 2: answers([1], [0.25])}
    found = read_answers(tmp_path, write(tmp_path, 2, known))
    assert found.keys() == {"1", "own"}
    assert found["1"].classes.tolist() == [0, 2, 1]
    assert found["1"].classes.dtype == np.int64
    assert found["1"].confidence.dtype == np.float32
    assert found["1"].confidence.tolist() == pytest.approx([0.5, 1.0, 1 / 3], abs=0.5 / 65535)
    assert found["own"] == known[2].as_kept()
    assert found["own"] != answers([0], [0.25]).as_kept()


@pytest.mark.parametrize(("highest", "size"), [(1, 1), (255, 1), (256, 2), (65535, 2), (65536, 4)])
def test_a_class_takes_as_few_bytes_as_it_can(tmp_path: Path, highest: int, size: int) -> None:
    record = write(tmp_path, 1, {1: answers([0, highest], [0.5, 0.5])})
    tensors = safetensors.numpy.load_file(answers_path(tmp_path, 1))
    assert {name: array.nbytes for name, array in tensors.items()} == {"own.classes": 2 * size, "own.confidence": 4}
    assert read_answers(tmp_path, record)["own"].classes.tolist() == [0, highest]


def test_confidence_is_rounded_to_the_nearest_step_and_no_number_stays_none(tmp_path: Path) -> None:
    sure = np.linspace(1e-4, 1, 1001, dtype=np.float32)
    record = write(tmp_path, 1, {1: Answers(np.zeros(1002, dtype=np.int64), np.append(sure, np.float32(np.nan)))})
    found = read_answers(tmp_path, record)["own"].confidence
    assert np.abs(found[:-1].astype(float) - sure).max() <= 0.5 / 65535 + 1e-7
    assert np.isnan(found).tolist() == [False] * 1001 + [True]


def test_a_file_is_the_same_wherever_its_task_stands(tmp_path: Path) -> None:
    """A task that needs no other one may be the third of one order and the first of another."""
    record = write(tmp_path, 3, {3: answers([0, 1], [0.5, 0.75])})
    first = write(tmp_path, 1, {1: answers([0, 1], [0.5, 0.75])})
    assert answers_path(tmp_path, 3).read_bytes() == answers_path(tmp_path, 1).read_bytes()
    assert moved(record["evaluated"][0], 1) == first["evaluated"][0]
    assert moved({"task": 3, "accuracy": 0.5}, 1) == {"task": 1, "accuracy": 0.5}, "of an earlier version"


@pytest.mark.parametrize("damage", [None, b"", b"other", "a byte"])
def test_damaged_answers_are_none_and_are_known_to_be_lost(tmp_path: Path, damage: bytes | str | None) -> None:
    records = [write(tmp_path, k, {k: answers([0, 1], [0.5, 0.75])}) for k in (1, 2)]
    assert lost_answers(tmp_path, records) == []
    path = answers_path(tmp_path, 2)
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage if isinstance(damage, bytes) else path.read_bytes()[:-1] + b"?")
    assert lost_answers(tmp_path, records) == [2]
    assert read_answers(tmp_path, records[1]) == {}
    assert read_answers(tmp_path, records[0]) != {}


def test_an_earlier_version_kept_none_and_has_lost_none(tmp_path: Path) -> None:
    record = {"learned": 1, "evaluated": [{"task": 1, "accuracy": 0.5}]}
    assert lost_answers(tmp_path, [record]) == []
    assert read_answers(tmp_path, record) == {}


def test_only_what_has_not_changed_since_can_be_given_again(tmp_path: Path) -> None:
    first = write(tmp_path, 1, {1: answers([0], [0.5])})
    same = write(tmp_path, 2, {2: answers([0], [0.5])})
    same["evaluated"].insert(0, first["evaluated"][0])
    assert can_be_given_again([first, same], 1)
    other = write(tmp_path, 2, {1: answers([1], [0.5]), 2: answers([0], [0.5])})
    assert not can_be_given_again([first, other], 1)
    assert can_be_given_again([first, other], 2)


def test_the_bytes_of_53_tasks_in_the_documentation() -> None:
    """Of each task 256 images and 20 classes, as results/README.md says."""

    def file(own: dict[Reference, int]) -> int:
        """The bytes of a file: reference -> how many classes there are to answer with."""
        return len(pack_answers({each: answers([classes - 1] * 256, [0.5] * 256) for each, classes in own.items()}))

    def competing(task: int, learned: int) -> dict[Reference, int]:
        own, derived = (Reference.to_task(task, learned, who) for who in ("class", DERIVED))
        return {own: 20 * learned, derived: 20}

    isolating = overwriting = in_class = 0
    for learned in range(1, 54):
        all_tasks = range(1, learned + 1)
        isolating += file({Reference.to_task(learned, learned): 20})
        overwriting += file({Reference.to_task(task, learned): 20 for task in all_tasks})
        in_class += file({key: n for task in all_tasks for key, n in competing(task, learned).items()})
    text = (Path(__file__).parents[3] / "results" / "README.md").read_text()
    assert f"and places: {isolating / 1e3:.0f} kB." in text
    assert f"1,431 times: {overwriting / 1e6:.1f} MB." in text
    assert f"these evaluations take {in_class / 1e6:.1f} MB" in text
