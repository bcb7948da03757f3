"""Writing that cannot be seen half done, whatever the disk or the user does meanwhile."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
from pathlib import Path

import pytest

from benchmark.files import (
    MANIFEST,
    StorageError,
    folder_name,
    make_below,
    refuse_foreign,
    remove_unfinished,
    uninterrupted,
    write_atomically,
)
from methods.errors import UserError


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


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path):
    path = tmp_path / (255 * "x")
    write_atomically(path, b"all of it")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [(path.name, b"all of it")]


def test_what_a_killed_process_never_finished_is_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cell = tmp_path / "cells" / "er" / "seed-0"
    cell.mkdir(parents=True)
    others = ("task-1.safetensors", "task-1.safetensors.next", "notes.tmp", ".draft.tmp", ".letter.docx.123.tmp")
    for name in others:
        (cell / name).touch()
    monkeypatch.setattr(Path, "unlink", lambda path, missing_ok: None)
    monkeypatch.setattr(Path, "replace", lambda path, target: None)
    write_atomically(cell / "after-1.json", b"")
    write_atomically(tmp_path / "manifest.json", b"")
    monkeypatch.undo()
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == len(others) + 2
    remove_unfinished(tmp_path)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == set(others)


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


@pytest.mark.parametrize("own", [[], ["lock"], ["holder"], ["1234-5.tmp"]])
def test_a_folder_of_nothing_but_what_a_killed_process_left_is_ours(tmp_path: Path, own: list[str]):
    for name in own:
        (tmp_path / f".continual-benchmark-{name}").touch()
    refuse_foreign(tmp_path, MANIFEST)
    refuse_foreign(tmp_path / "new", MANIFEST)


@pytest.mark.parametrize("names", [[".lock"], [".holder"], [".draft.tmp"], ["cells", "accuracy.csv"]])
def test_a_folder_with_anything_else_is_the_users(tmp_path: Path, names: list[str]):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(UserError) as caught:
        refuse_foreign(tmp_path, MANIFEST)
    assert str(caught.value) == (
        f"--name {tmp_path.name}: {tmp_path} holds files that are not of a run, as {min(names)}; give another --name"
    )
    # Unless a run was begun there.
    (tmp_path / MANIFEST).touch()
    refuse_foreign(tmp_path, MANIFEST)


def test_what_was_put_into_a_folder_of_a_killed_process_later_does_not_change_whose_it_is(tmp_path: Path):
    for name in (".continual-benchmark-holder", "tensorboard"):
        (tmp_path / name).touch()
    refuse_foreign(tmp_path, MANIFEST)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("ewc:strength=500", "ewc_strength=500"),
        ("..", "__"),
        (".", "_"),
        ("...", "___"),
        ("", "_"),
        ("../../etc", ".._.._etc"),
        ("/", "_"),
        ("a\nb\x1b\0", "a_b__"),
        (300 * "x", 200 * "x"),
        (200 * "ä", 127 * "ä"),
        (100 * "\N{GRINNING FACE}", 63 * "\N{GRINNING FACE}"),
    ],
)
def test_the_folder_of_a_label_is_one_folder_below(tmp_path: Path, label: str, name: str):
    assert folder_name(label) == name
    folder = tmp_path / "cells" / name
    folder.mkdir(parents=True)
    assert folder.resolve().parent == tmp_path / "cells"


def test_a_folder_is_not_made_again_below_one_that_was_removed(tmp_path: Path):
    make_below(tmp_path / "run" / "cells" / "clr", levels=3)
    make_below(tmp_path / "run" / "cells" / "clr", levels=1)
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(FileNotFoundError):
        make_below(tmp_path / "run" / "cells" / "clr", levels=2)
    assert not (tmp_path / "run").exists()
