"""The file of a checkpoint: what is stored is read again, and what does not fit is told and removed."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmark.snapshots.snapshot import Snapshot
from benchmark.storage.checkpoint import CheckpointFile, checkpoint_path, remove_checkpoints

SNAPSHOT = Snapshot("s", '{"roots":[],"nodes":[]}', [torch.arange(5, dtype=torch.uint8), torch.empty(0).byte()])


@pytest.fixture
def open_file(tmp_path: Path) -> Callable[..., tuple[CheckpointFile, list[str]]]:
    """open_file(minutes, version) -> the file of the checkpoints of task 3, and what it says."""

    def make(minutes: float | None = 0, version: str = "1") -> tuple[CheckpointFile, list[str]]:
        said: list[str] = []
        about = {"the version of torch": version, "the device": "cpu"}
        return CheckpointFile(
            tmp_path / "seed-0", 3, minutes, lambda: about, said.append, said.append, "er, seed 0"
        ), said

    return make


def test_what_is_written_is_read(open_file: Callable[..., tuple[CheckpointFile, list[str]]]) -> None:
    file, said = open_file()
    assert file.read() is None
    file.write(SNAPSHOT)
    assert [path.name for path in file.path.parent.iterdir()] == ["checkpoint-3.safetensors"]
    found = open_file()[0].read()
    assert found is not None
    assert (found.signature, found.structure) == (SNAPSHOT.signature, SNAPSHOT.structure)
    assert [data.tolist() for data in found.data] == [[0, 1, 2, 3, 4], []]
    assert said == []


@pytest.mark.parametrize("place", [0, 12, 200, -1])
def test_a_damaged_file_is_told_and_removed(
    place: int, open_file: Callable[..., tuple[CheckpointFile, list[str]]]
) -> None:
    file, said = open_file()
    file.write(SNAPSHOT)
    content = bytearray(file.path.read_bytes())
    content[place] ^= 1
    file.path.write_bytes(content)
    assert file.read() is None
    assert said == [
        "er, seed 0: the checkpoint of task 3 cannot be used: it is damaged; the task starts from its beginning"
    ]
    assert not file.path.exists()


@pytest.mark.parametrize("size", [0, 7, 100, -1])
def test_so_is_a_torn_one(size: int, open_file: Callable[..., tuple[CheckpointFile, list[str]]]) -> None:
    file, said = open_file()
    file.write(SNAPSHOT)
    file.path.write_bytes(file.path.read_bytes()[:size])
    assert file.read() is None
    assert len(said) == 1


def test_one_of_another_version_is_told_and_removed(
    open_file: Callable[..., tuple[CheckpointFile, list[str]]],
) -> None:
    open_file()[0].write(SNAPSHOT)
    file, said = open_file(version="2")
    assert file.read() is None
    assert said == [
        "er, seed 0: the checkpoint of task 3 cannot be used: the version of torch is another one (then 1, now 2); the "
        "task starts from its beginning"
    ]
    assert not file.path.exists()


def test_it_is_due_when_the_minutes_are_over(
    open_file: Callable[..., tuple[CheckpointFile, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("benchmark.storage.checkpoint.time.monotonic", lambda: now)
    file, never, always = (open_file(minutes)[0] for minutes in (1.5, None, 0))
    now += 89
    assert (file.due(), never.due(), always.due()) == (False, False, True)
    now += 1
    assert (file.due(), never.due()) == (True, False)
    file.write(SNAPSHOT)
    assert not file.due()


def test_a_full_disk_costs_the_checkpoints_and_not_the_task(
    open_file: Callable[..., tuple[CheckpointFile, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, said = open_file()
    file.write(SNAPSHOT)

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("benchmark.files.os.fsync", full)
    file.write(SNAPSHOT)
    assert not file.due()
    assert len(said) == 1
    assert "goes on without new checkpoints" in said[0]
    assert "No space left on device" in said[0]
    assert open_file()[0].read() is not None, "the one before is still there"


def test_those_of_learned_tasks_are_removed(tmp_path: Path) -> None:
    for task in (1, 2, 3):
        checkpoint_path(tmp_path, task).touch()
    (tmp_path / "checkpoint-x.safetensors").touch()
    remove_checkpoints(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-3.safetensors", "checkpoint-x.safetensors"]
    remove_checkpoints(tmp_path / "nothing", 2)
