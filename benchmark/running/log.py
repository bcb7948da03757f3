"""run.log: what happened in a run, one process after the other."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmark.progress.events import Event, JobEnded, Listener, tell_all
from benchmark.progress.lines import Lines
from benchmark.storage.provenance import now
from methods.names import printable

LOG_NAME = "run.log"


@contextmanager
def logged(folder: Path, epochs: int, command: Sequence[str], tell: Listener) -> Iterator[Listener]:
    """A listener that passes each event on, and adds what a person may want to know later to run.log.

    A log that cannot be written does not stop a run, which says so where it cannot write something that counts.

    Args:
        folder: of the run.
        epochs: of all tasks in all cells together.
        command: the command line.
        tell: the listener.
    """
    path = folder / LOG_NAME

    def write(line: str) -> None:
        # Opened for each line: the folder may have been removed, and it must not come back.
        with suppress(OSError), path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    lines = Lines(epochs, write)

    def handle(event: Event) -> None:
        lines.handle(event)
        if isinstance(event, JobEnded) and event.failure and event.failure.traceback:
            write("\n".join(f"    {printable(line)}" for line in event.failure.traceback.splitlines()))

    write(f"{now()} {printable(shlex.join(command))}")
    try:
        yield tell_all(handle, tell)
        write(f"{now()} finished")
    except BaseException as error:
        write(f"{now()} ended by {type(error).__name__}: {printable(str(error))}".rstrip(": "))
        raise
