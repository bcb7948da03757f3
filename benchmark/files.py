"""Files that a reader never sees half written, and where they go."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from methods.errors import UserError

#: How the names of files begin that are there for a while only. Nobody else calls a file so.
OWN = ".continual-benchmark-"
#: What makes a folder that of a run.
MANIFEST = "manifest.json"
#: Says which process works in a folder. A killed one leaves it behind: the folder was empty, or a run's, as it began.
HOLDER = f"{OWN}holder"


class StorageError(UserError):
    """What was to be kept cannot be written: the disk is full, or the folder may not be written to."""


class VanishedError(StorageError):
    """Something that was written is not there any more, although nobody else may change it."""


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Say in one sentence what keeps the block from writing into `folder`.

    Raises:
        StorageError: the system refused something.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written ({error.strerror or error}); make room or give access there"
        ) from error


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Say in one sentence that the block does not find in `folder` what was written there.

    Raises:
        VanishedError: the system finds no such file, or cannot reach it.
    """
    try:
        yield
    except OSError as error:
        name = error.filename or folder
        raise VanishedError(
            f"{name} was there, and cannot be read any more ({error.strerror or error}); put it back, or make it again "
            "with the same command"
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` under a temporary name beside `path`, flush it to the disk, and rename it.

    Raises:
        StorageError: it cannot be written; what was at `path` is as before.
    """
    temporary = beside(path, f"-{os.getpid()}.tmp")
    with writing(path.parent):
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def beside(path: Path, ending: str) -> Path:
    """The name of something that is beside `path` for a while."""
    # A hash of the name, which may already be as long as the file system allows.
    return path.with_name(f"{OWN}{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}{ending}")


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes left of `write_atomically`, at any depth. Nobody may be writing there."""
    for path in folder.rglob(f"{OWN}*.tmp"):
        path.unlink(missing_ok=True)


def refuse_foreign(folder: Path, mark: str) -> None:
    """Refuse a folder that holds something, but nothing of this program: files of the user are to stay as they are.

    Args:
        folder: need not exist.
        mark: a pattern of paths in it, of which one shows that the folder is ours.

    Raises:
        UserError: it is not, or cannot be read.
    """
    try:
        names = [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise UserError(f"--out: {folder} cannot be read ({error.strerror}); give access to it") from error
    foreign = sorted(name for name in names if not name.startswith(OWN))
    if foreign and HOLDER not in names and not any(folder.glob(mark)):
        raise UserError(
            f"--name {folder.name}: {folder} holds files that are not of a run, as {foreign[0]}; give another --name"
        )


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C, and the signal that ends a worker, wait until the block is done.

    Only the main thread of a process can do so; in others this does nothing.
    """
    came: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            # None is a handler that is not Python's, and could not be put back.
            if signal.getsignal(number) is not None:
                before[number] = signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in came:
            signal.raise_signal(late)


def user_cache() -> Path:
    """Where this program keeps what it can make or fetch again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "continual-benchmark"


def folder_name(label: str) -> str:
    """The folder for a label: characters that a file system may refuse become underscores, what is long is cut."""
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f\x7f]', "_", label)[:200]
    # Of nothing but dots, or of none, are the names of the folder itself and of the one above.
    name = re.sub(r"^\.*$", lambda dots: "_" * max(1, len(dots[0])), name)
    # 255 bytes is what most file systems allow.
    return name.encode(errors="backslashreplace")[:255].decode(errors="ignore")
