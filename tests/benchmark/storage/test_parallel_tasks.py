"""The files of tasks that were learned alone, and how they become those of a sequence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from benchmark.storage.parallel_tasks import look, save_alone, unite
from benchmark.storage.state import State, load, pack, save

FROZEN = 100
TASKS = {number: {f"heads.{number}.weight": torch.full((number, 2), float(number))} for number in (1, 2, 3)}


def sizes(*numbers: int) -> dict[str, int]:
    """8 bytes a row of a head."""
    heads = 8 * sum(numbers)
    return {"shared": 0, "task": heads, "memory": 0, "heads": heads, "replay": 0}


def record(number: int, before: tuple[int, ...]) -> dict[str, Any]:
    return {
        "learned": number,
        "losses": [1.0 / number],
        "bytes_before": sizes(*before),
        "bytes": sizes(*before, number) | {"frozen": FROZEN},
        "evaluated": [{"task": known, "accuracy": known / 10} for known in (*before, number)],
    }


def learn_alone(folder: Path, number: int) -> None:
    state = State(number, {}, {number: TASKS[number]})
    save_alone(folder, pack(state, State(number - 1, {}), {}), record(number, ()))


def learn_in_sequence(folder: Path, numbers: range) -> None:
    state, records = load(folder, lambda: State(0, {}))
    for number in numbers:
        after = State(number, {}, {**state.tasks, number: TASKS[number]})
        packed = pack(after, state, records[-1]["checksums"] if records else {})
        save(folder, packed, record(number, tuple(range(1, number))))
        state, records = load(folder, lambda: State(0, {}))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_tasks_learned_alone_become_those_of_a_sequence(tmp_path: Path):
    learn_in_sequence(tmp_path / "sequence", range(1, 4))
    alone = tmp_path / "alone"
    assert not unite(alone)
    for number, united in ((3, 0), (1, 1), (2, 3)):
        learn_alone(alone, number)
        assert unite(alone) == (united > 0)
        assert len(list(alone.glob("after-*.json"))) == united
    assert contents(alone) == contents(tmp_path / "sequence")
    assert load(alone, lambda: State(0, {}))[0].learned == 3


def test_they_go_behind_what_was_learned_in_sequence(tmp_path: Path):
    learn_in_sequence(tmp_path / "sequence", range(1, 4))
    learn_in_sequence(tmp_path / "both", range(1, 3))
    learn_alone(tmp_path / "both", 3)
    assert unite(tmp_path / "both")
    assert contents(tmp_path / "both") == contents(tmp_path / "sequence")


def test_united_after_an_interruption(tmp_path: Path):
    """Killed when the second of two records was put behind the sequence, and both still lay there alone."""
    for number in (1, 2):
        learn_alone(tmp_path, number)
    alone = contents(tmp_path)
    unite(tmp_path)
    expected = contents(tmp_path)
    for name in ("alone-1.json", "alone-2.json"):
        (tmp_path / name).write_bytes(alone[name])
    (tmp_path / "after-2.json").unlink()
    assert unite(tmp_path)
    assert contents(tmp_path) == expected


def test_which_tasks_are_there(tmp_path: Path):
    assert look(tmp_path / "nothing").tasks == set()
    learn_in_sequence(tmp_path, range(1, 2))
    assert look(tmp_path).tasks == {1}
    learn_alone(tmp_path, 3)
    assert look(tmp_path).tasks == {1, 3}
    unite(tmp_path)
    assert look(tmp_path).tasks == {1, 3}
    assert look(tmp_path).damaged == ()


def test_a_damaged_task_is_seen(tmp_path: Path):
    learn_in_sequence(tmp_path, range(1, 2))
    learn_alone(tmp_path, 3)
    whole = contents(tmp_path)
    for name, left in (
        ("task-1.safetensors", {3}),
        ("after-1.json", {3}),
        ("task-3.safetensors", {1}),
        ("alone-3.json", {1}),
    ):
        file = tmp_path / name
        file.write_bytes(whole[name][:-1])
        assert (look(tmp_path).tasks, look(tmp_path).damaged) == (left, (file,))
        file.write_bytes(whole[name])
        assert (look(tmp_path).tasks, look(tmp_path).damaged) == ({1, 3}, ())
    (tmp_path / "task-3.safetensors").unlink()
    assert look(tmp_path).damaged == (tmp_path / "task-3.safetensors",)


def test_a_damaged_record_of_a_task_goes_when_the_task_was_learned_again(tmp_path: Path):
    learn_in_sequence(tmp_path / "sequence", range(1, 3))
    both = tmp_path / "both"
    learn_alone(both, 2)
    (both / "alone-2.json").write_bytes(b"")
    assert not unite(both)
    learn_in_sequence(both, range(1, 3))
    assert not unite(both)
    assert contents(both) == contents(tmp_path / "sequence")


def test_what_an_interrupted_task_left_is_replaced(tmp_path: Path):
    tmp_path.joinpath("task-1.safetensors").write_bytes(b"half of a file")
    learn_alone(tmp_path, 1)
    assert look(tmp_path).tasks == {1}
    assert json.loads((tmp_path / "alone-1.json").read_bytes())["learned"] == 1
