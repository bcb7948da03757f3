"""One process at a time on a run, and none that is dead."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.files import HOLDER
from benchmark.storage.lock import building, check_free, locked
from methods.errors import UserError

WORKING = """
import sys, time
from pathlib import Path
from benchmark.storage.lock import locked
with locked(Path(sys.argv[1])):
    print("working", flush=True)
    time.sleep(3600)
"""

# Its child has the lock, as workers have, and ends a moment after it.
WORKING_WITH_A_CHILD = """
import os, sys, time
from pathlib import Path
from benchmark.storage.lock import locked
with locked(Path(sys.argv[1])):
    parent = os.getpid()
    if not os.fork():
        while os.getppid() == parent:
            time.sleep(0.01)
        time.sleep(0.5)
        os._exit(0)
    print("working", flush=True)
    time.sleep(3600)
"""


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught, locked(folder):
        pytest.fail("it was not locked")
    return str(caught.value)


def test_it_leaves_nothing_behind(tmp_path: Path):
    for _ in range(2):
        with locked(tmp_path):
            assert {path.name for path in tmp_path.iterdir()} == {".continual-benchmark-lock", HOLDER}
        assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_by_a_block_that_fails_either(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_another_process_is_named_and_counts_for_nothing_once_it_is_killed(tmp_path: Path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    holder = subprocess.Popen([sys.executable, "-c", WORKING, str(tmp_path)], env=environment, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"working\n"
    try:
        assert refusal(tmp_path) == (
            f"--name {tmp_path.name}: process {holder.pid} on {socket.gethostname()} is working on that run; "
            "wait until it ends, or give another --name"
        )
    finally:
        holder.kill()
        holder.communicate()
    with locked(tmp_path):
        assert (tmp_path / HOLDER).read_text() == f"process {os.getpid()} on {socket.gethostname()}"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_the_workers_of_a_killed_process_are_waited_for(tmp_path: Path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", WORKING_WITH_A_CHILD, str(tmp_path)]
    holder = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"working\n"
    holder.kill()
    holder.wait()
    with locked(tmp_path):
        assert (tmp_path / HOLDER).read_text() == f"process {os.getpid()} on {socket.gethostname()}"


def test_looking_whether_a_folder_is_free_keeps_the_trace_of_a_killed_process(tmp_path: Path):
    (tmp_path / HOLDER).write_text("process 1 on a machine")
    check_free(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [HOLDER]
    with locked(tmp_path), pytest.raises(UserError, match="is working on that run"):
        check_free(tmp_path)


def test_one_that_has_not_said_who_it_is_is_another_process(tmp_path: Path):
    with locked(tmp_path):
        (tmp_path / HOLDER).unlink()
        assert ": another process is working on that run; " in refusal(tmp_path)


def test_what_is_no_folder_cannot_be_locked(tmp_path: Path):
    (tmp_path / "file").touch()
    says = f"--out: {tmp_path / 'file'} cannot be written to or locked ("
    assert refusal(tmp_path / "file").startswith(says)


def test_a_folder_appears_when_it_is_whole(tmp_path: Path):
    target = tmp_path / "out" / ("x" * 255)
    with building(target) as folder:
        (folder / "table.csv").write_text("1")
        assert not target.exists()
        with pytest.raises(UserError, match=f"--name {target.name}: process .* is working on that run"):
            next(building(target).gen)
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    assert (target / "table.csv").read_text() == "1"


def test_nothing_is_left_of_a_folder_that_was_not_finished(tmp_path: Path):
    (tmp_path / "empty").mkdir()

    def build() -> None:
        with building(tmp_path / "empty") as folder:
            (folder / "table.csv").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        build()
    assert list(tmp_path.rglob("*")) == [tmp_path / "empty"]
