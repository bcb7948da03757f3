"""The files of answers without knowing the task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.storage.answers import Answers
from benchmark.storage.inferred import (
    Inferred,
    gone_inferred,
    inferred_path,
    key_of_networks,
    lost_inferred,
    read_inferred,
    write_inferred,
)

RULES = ("max-softmax", "centres")


def some(learned: int) -> Inferred:
    """Answers of 300 classes and 20 images."""
    draw = np.random.default_rng(learned)
    answers = {
        (task, rule): Answers(draw.integers(0, 300, 20), draw.random(20, dtype=np.float32)).as_kept()
        for task in range(1, learned + 1)
        for rule in RULES
    }
    costs = {"max-softmax": {"bytes": 0, "flops_per_image": 2 * 10**12}, "centres": {"bytes": 40, "flops_per_image": 7}}
    return Inferred(answers, costs, 3, 2)


def content(folder: Path, inferred: Inferred) -> bytes:
    write_inferred(folder, 2, inferred, "key")
    return inferred_path(folder, 2).read_bytes()


def record(learned: int, *networks: str) -> dict[str, object]:
    return {"learned": learned, "evaluated": [{"task": k, "network": name} for k, name in enumerate(networks, 1)]}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert content(tmp_path, some(2)) == content(tmp_path, some(2))
    for key in (None, "key"):
        assert read_inferred(tmp_path, 2, key) == some(2)
    assert read_inferred(tmp_path, 2, "of other networks") is None
    assert read_inferred(tmp_path, 3) is None


@pytest.mark.parametrize("place", [0, 20, 150, -300, -1])
def test_a_damaged_byte_is_noticed(tmp_path: Path, place: int) -> None:
    damaged = bytearray(content(tmp_path, some(2)))
    damaged[place] ^= 1
    inferred_path(tmp_path, 2).write_bytes(damaged)
    assert read_inferred(tmp_path, 2) is None


@pytest.mark.parametrize("content", [b"", b"no tensors"])
def test_a_file_that_is_none_is_noticed(tmp_path: Path, content: bytes) -> None:
    inferred_path(tmp_path, 1).write_bytes(content)
    assert read_inferred(tmp_path, 1) is None


def test_files_are_missed_as_long_as_their_networks_answer(tmp_path: Path) -> None:
    isolated = [record(1, "a"), record(2, "a", "b"), record(3, "a", "b", "c")]
    changed = [record(1, "a"), record(2, "a2", "b"), record(3, "a2", "b", "c")]
    assert lost_inferred(tmp_path, isolated, RULES) == [1, 2, 3]
    assert lost_inferred(tmp_path, changed, RULES) == [2, 3]
    assert gone_inferred(tmp_path, isolated, RULES) == []
    assert gone_inferred(tmp_path, changed, RULES) == [1], "this network is no more"
    assert gone_inferred(tmp_path, changed, ()) == lost_inferred(tmp_path, changed, ()) == []
    assert lost_inferred(tmp_path, [], RULES) == gone_inferred(tmp_path, [], RULES) == []
    write_inferred(tmp_path, 2, some(2), key_of_networks(isolated[1], RULES))
    assert lost_inferred(tmp_path, isolated, RULES) == [1, 3]
    assert lost_inferred(tmp_path, changed, RULES) == [2, 3], "these are of another network"
    assert lost_inferred(tmp_path, isolated, RULES[:1]) == [1, 2, 3], "these are of other rules"
