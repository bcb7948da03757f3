"""Only one process at a time works on a run."""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from benchmark.files import HOLDER, OWN, beside, write_atomically, writing
from methods.errors import UserError

# How long the workers of a killed process may take to end, in seconds.
_ENDING = 10


@contextmanager
def locked(folder: Path, name: str | None = None) -> Iterator[None]:
    """Keep a run's folder for this process, and those it starts, until the block ends.

    The system unlocks it when the process ends, even if it is killed. Machines that share a file system see each
    other's locks if the file system supports this.

    Args:
        folder: must exist.
        name: the user's name for it; the folder's name by default.

    Raises:
        UserError: another process has it, or it cannot be written to or locked.
    """
    holder = folder / HOLDER
    with _taken(folder, name) as still_ours:
        try:
            write_atomically(holder, f"process {os.getpid()} on {socket.gethostname()}".encode())
            yield
        finally:
            with suppress(OSError):
                if still_ours():
                    holder.unlink(missing_ok=True)


def check_free(folder: Path) -> None:
    """See that no process works on the run in a folder. Nothing in it is changed, also not what a killed one left.

    Raises:
        UserError: as for `locked`.
    """
    with _taken(folder):
        pass


@contextmanager
def _taken(folder: Path, name: str | None = None) -> Iterator[Callable[[], bool]]:
    """Hold the lock of a folder. Yields what says whether the folder still is the one that was locked."""
    path, holder = folder / f"{OWN}lock", folder / HOLDER
    lock = FileLock(path, timeout=0)
    try:
        try:
            lock.acquire()
        except Timeout:
            # The workers of a process that was killed have its lock until they notice that it is gone.
            lock.acquire(timeout=_ENDING if _has_died(holder) else 0)
        own = path.stat()
    except Timeout:
        raise UserError(
            f"--name {name or folder.name}: {_read(holder)} is working on that run; wait until it ends, or "
            "give another --name"
        ) from None
    except OSError as error:
        raise UserError(
            f"--out: {folder} cannot be written to or locked ({error.strerror or error}); choose another folder with "
            "--out DIR"
        ) from error

    def still_ours() -> bool:
        return os.path.samestat(path.stat(), own)

    try:
        yield still_ours
    finally:
        # While it is locked: whoever waits for a lock notices that its file is gone.
        # In a folder that has taken the place of ours the file is another process's.
        with suppress(OSError):
            if still_ours():
                path.unlink()
        lock.release()


@contextmanager
def building(folder: Path) -> Iterator[Path]:
    """Make a folder beside `folder`, fill it in the block, and give it that name at the end.

    Nobody sees half of it. If the block fails or the process is killed, `folder` does not exist, and the next process
    that builds it removes the rest.

    Args:
        folder: must not exist, or be empty.

    Yields:
        The new, empty folder.

    Raises:
        UserError: another process is building it.
        StorageError: it cannot be made.
    """
    place = beside(folder, "")
    partial = place / "partial"
    with writing(folder.parent):
        place.mkdir(parents=True, exist_ok=True)
    try:
        with locked(place, folder.name):
            shutil.rmtree(partial, ignore_errors=True)
            with writing(place):
                partial.mkdir()
            try:
                yield partial
                with writing(folder.parent):
                    partial.rename(folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    finally:
        with suppress(OSError):
            place.rmdir()


def _has_died(holder: Path) -> bool:
    """Whether the process that a folder names was on this machine and does not exist any more."""
    match = re.fullmatch(r"process (\d+) on (.*)", _read(holder))
    if match is None or match[2] != socket.gethostname() or os.name != "posix":
        return False
    try:
        os.kill(int(match[1]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        # It is another user's.
        return False
    return False


def _read(holder: Path) -> str:
    try:
        return holder.read_text()
    except OSError:
        return "another process"
