"""Files that a reader never sees half written, and their places."""

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

#: The beginning of the names of temporary files. No other program uses it.
OWN = ".continual-benchmark-"
#: The file that makes a folder a run's folder.
MANIFEST = "manifest.json"
#: Says which process works in a folder. A killed process leaves it: then the folder was empty or a run's before.
HOLDER = f"{OWN}holder"


class StorageError(UserError):
    """Something cannot be written: the disk is full, or the folder may not be written to."""


class VanishedError(StorageError):
    """Something that was written has disappeared, although nobody else may change it."""


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Say in one sentence why the block cannot write into `folder`.

    Raises:
        StorageError: the system refused something.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written ({error.strerror or error}); make room or give access there"
        ) from error


def make_below(folder: Path, levels: int) -> None:
    """Make a folder, and what is missing of the `levels` - 1 folders above it.

    Those further up are not made: a run's folder that somebody has removed stays removed.

    Raises:
        OSError: the system refused it, or a folder further up is missing.
    """
    for path in (*reversed(folder.parents[: levels - 1]), folder):
        path.mkdir(exist_ok=True)


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Say in one sentence that a file written to `folder` cannot be read.

    Raises:
        VanishedError: the file does not exist, or the system cannot reach it.
    """
    try:
        yield
    except OSError as error:
        name = error.filename or folder
        raise VanishedError(
            f"{name} was there, and cannot be read any more ({error.strerror or error}); put it back, or make it again "
            "with the same command"
        ) from error


def content_of(path: Path) -> bytes | None:
    """The content of a file; None if it does not exist.

    Raises:
        VanishedError: it cannot be read.
    """
    with reading(path.parent):
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` under a temporary name beside `path`, flush it to the disk, and rename it.

    Raises:
        StorageError: it cannot be written; the file at `path` is as before.
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
    """The name of something temporary beside `path`."""
    # A hash, because the name may already be as long as the file system allows.
    return path.with_name(f"{OWN}{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}{ending}")


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files of killed processes, at any depth. No process may be writing there."""
    for path in folder.rglob(f"{OWN}*.tmp"):
        path.unlink(missing_ok=True)


def refuse_foreign(folder: Path, mark: str) -> None:
    """Refuse a folder with only other files than this program's, so that the user's files stay as they are.

    Args:
        folder: need not exist.
        mark: a pattern of paths in it; any match shows that the folder is this program's.

    Raises:
        UserError: the folder is not this program's, or cannot be read.
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
            # None is a handler that was not set from Python and cannot be restored.
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
    """The folder for files that this program can make or download again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "continual-benchmark"


def folder_name(label: str) -> str:
    """The folder for a label: characters that a file system may refuse become underscores; long names are cut."""
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f\x7f]', "_", label)[:200]
    # A name of only dots, or an empty one, would mean this folder or the one above.
    name = re.sub(r"^\.*$", lambda dots: "_" * max(1, len(dots[0])), name)
    # Most file systems allow 255 bytes.
    return name.encode(errors="backslashreplace")[:255].decode(errors="ignore")
