"""One process at a time on a run."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from benchmark.files import write_atomically
from methods.errors import UserError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a run's folder for this process, and what it starts, until the block ends.

    The system unlocks it when the process ends, however that happens. On a file system that machines share, they see
    each other's locks as far as it passes them on.

    Raises:
        UserError: another process has it, or nothing can be written or locked there.
    """
    path, holder = folder / ".lock", folder / ".holder"
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
        own = path.stat()
    except Timeout:
        raise UserError(
            f"--name {folder.name}: {_read(holder)} is working on that run; wait until it ends, or give another --name"
        ) from None
    except OSError as error:
        raise UserError(
            f"--out: {folder} cannot be written to or locked ({error.strerror or error}); choose another folder with "
            "--out DIR"
        ) from error
    try:
        write_atomically(holder, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        # While it is locked: whoever waits for a lock notices that its file is gone.
        # In a folder that has taken the place of ours they are another process's.
        with suppress(OSError):
            if os.path.samestat(path.stat(), own):
                holder.unlink(missing_ok=True)
                path.unlink()
        lock.release()


def _read(holder: Path) -> str:
    try:
        return holder.read_text()
    except OSError:
        return "another process"
