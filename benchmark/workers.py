"""The process from which workers are forked. This module imports nothing heavy, so that it can be started first."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
from multiprocessing import forkserver, resource_tracker, util
from multiprocessing.context import BaseContext

from benchmark.progress.output import forgive_output
from methods.errors import UserError

# The address of a socket is a path of at most 103 bytes (macOS; 107 on Linux), and multiprocessing adds 32 to the
# folder's name.
_LONGEST = 103 - 32


def context() -> BaseContext:
    """How workers are started: forked from a process that only imports, or, if that is not possible, anew.

    Not forked from this process, because they would inherit the locks of its threads and hang.
    """
    possible = multiprocessing.get_all_start_methods()
    # multiprocessing makes its folder on the first call, and keeps it.
    usual = tempfile.gettempdir()
    tempfile.tempdir = short_folder(_LONGEST)
    try:
        util.get_temp_dir()
    finally:
        tempfile.tempdir = usual
    return multiprocessing.get_context("forkserver" if "forkserver" in possible else "spawn")


def short_folder(longest: int) -> str:
    """A folder for temporary files with a name of at most `longest` bytes: the usual one, if it is short enough.

    Raises:
        UserError: no such folder exists.
    """
    usual = tempfile.gettempdir()
    for place in (usual, "/tmp", "/var/tmp", "/dev/shm"):  # noqa: S108
        if len(os.fsencode(place)) <= longest and os.access(place, os.W_OK | os.X_OK):
            return place
    raise UserError(
        f"TMPDIR {usual} is too long for the sockets of worker processes; set it to a folder with a name of at most "
        f"{longest} bytes"
    )


def warm_up() -> None:
    """Let the server import what workers need, while this process goes on."""
    if context().get_start_method() != "forkserver":
        return
    context().set_forkserver_preload(["benchmark.running.executors.processes"])
    # Ctrl-C reaches all processes of a terminal. The server ignores it only after it has imported everything, so it is
    # blocked here, and then also in the server and in the workers. The tracker is started before, because it would
    # unblock Ctrl-C if the server started it.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin_worker() -> None:
    """What a worker does first: leave Ctrl-C to the process that started it, and end with that process.

    A failed print does not end it.
    """
    forgive_output()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """End this worker if its parent is killed; otherwise it would go on writing, or wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
