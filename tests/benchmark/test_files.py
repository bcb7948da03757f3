"""Writing that cannot be seen half done, whatever the disk or the user does meanwhile."""

from __future__ import annotations

import errno
import os
import signal
import threading
from pathlib import Path

import pytest

from benchmark.files import StorageError, remove_unfinished, uninterrupted, write_atomically


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A full disk, which some file systems notice only when they flush."""
    path = tmp_path / "table.csv"
    write_atomically(path, b"before")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError) as caught:
        write_atomically(path, b"after")
    assert str(caught.value) == (
        f"{tmp_path} cannot be written (No space left on device); make room or give access there"
    )
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("table.csv", b"before")]


def test_a_folder_that_is_gone_is_named(tmp_path: Path):
    with pytest.raises(StorageError, match=r"gone cannot be written \(No such file or directory\); make room or give"):
        write_atomically(tmp_path / "gone" / "table.csv", b"")


def test_only_what_was_never_finished_is_removed(tmp_path: Path):
    cell = tmp_path / "cells" / "er" / "seed-0"
    cell.mkdir(parents=True)
    for name in (".task-1.safetensors.123.tmp", "task-1.safetensors", "task-1.safetensors.next", "notes.tmp"):
        (cell / name).touch()
    (tmp_path / ".manifest.json.7.tmp").touch()
    remove_unfinished(tmp_path)
    names = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert names == ["notes.tmp", "task-1.safetensors", "task-1.safetensors.next"]


def test_ctrl_c_waits_until_the_block_is_done():
    done = []

    @uninterrupted()
    def work() -> None:
        signal.raise_signal(signal.SIGINT)
        done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["all of it"]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_so_does_the_signal_that_ends_a_worker():
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with uninterrupted():
            signal.raise_signal(signal.SIGTERM)
            assert heard == []
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_in_another_thread_nothing_has_to_wait():
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with uninterrupted():
                pass
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert failures == []
