"""Decoded images in files of the user's cache folder: made once, mapped into memory by every run that needs them."""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock, Timeout

from benchmark.files import user_cache, write_atomically
from benchmark.images import DECODER, Pixels
from benchmark.streams.source import ImageSource
from methods.errors import UserError

_PIXELS, _ABOUT = "pixels", "meta.json"
_KEY = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class About:
    """What a store holds.

    Attributes:
        task, split: for whom it was made first; another task with the same images shares it.
        images: how many, at least 1.
        size: their height and width, in pixels.
        sha256: of the pixels; empty until they are there.
        created: in ISO 8601, likewise.
    """

    task: str
    split: str
    images: int
    size: int
    sha256: str = ""
    created: str = ""

    @property
    def bytes(self) -> int:
        """Of the pixels."""
        return self.images * 3 * self.size**2


class Store:
    """One split's images, mapped from a file: a page takes memory once it is looked at, and may be given back.

    Pickled as the place of the file, which is opened anew where it is unpickled.

    Attributes:
        about: what they are.
        pixels: uint8 [N, S, S, 3]. Not to be written: the file is never changed, and `release` drops what was.

    Raises:
        OSError, ValueError, TypeError: there is none in `folder`, or what is there is damaged.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self.about = About(**json.loads((folder / _ABOUT).read_bytes()))
        with (folder / _PIXELS).open("rb") as file:
            self._mapped = _mapped(file)
        shape = (self.about.images, self.about.size, self.about.size, 3)
        self.pixels: Pixels = np.frombuffer(self._mapped, dtype=np.uint8).reshape(shape)

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self._folder

    def release(self) -> None:
        """Give the memory back to the system; what is looked at again is read again."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._mapped.madvise(mmap.MADV_DONTNEED)

    def __reduce__(self) -> tuple[type[Store], tuple[Path]]:
        return Store, (self._folder,)


def _mapped(file: BinaryIO) -> mmap.mmap:
    try:
        # Private pages may be written without harm to the file.
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except OSError:
        # The system may refuse more of them than it has memory.
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def store_folder() -> Path:
    """Where the stores are: a folder each, called by its key."""
    return user_cache() / "images"


def store_key(source: ImageSource, indices: Sequence[int], size: int) -> str | None:
    """What the pixels of these images depend on, as a hash; None if the source cannot tell (see ImageSource.identity).

    Args:
        source, indices, size: see images.decode.
    """
    identity = source.identity(indices)
    return identity and hashlib.sha256(f"{DECODER}\n{size}\n{identity}".encode()).hexdigest()


def find_store(key: str) -> Store | None:
    """The store under `key`; None if there is none, or a damaged one."""
    try:
        return Store(store_folder() / key)
    except (OSError, ValueError, TypeError):
        return None


def build_store(key: str, about: About, write: Callable[[Path], None]) -> Store:
    """Make the store under `key`, unless another process has done so when it is this one's turn.

    Whoever is killed on the way leaves a folder of another name, which the next one removes.

    Args:
        key: see store_key.
        about: what it will hold.
        write: makes a file of the pixels, in the order of Store.pixels.

    Raises:
        UserError: the cache folder cannot be written, or its disk is full.
    """
    folder = store_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The system unlocks it when the process ends, however that happens.
        with FileLock(_lock(key)):
            return find_store(key) or _build(key, about, write)
    except OSError as error:
        raise UserError(
            f"{folder} cannot keep the decoded images ({error.strerror or error}); make room or give access there, or "
            "set XDG_CACHE_HOME to another folder"
        ) from error


def _build(key: str, about: About, write: Callable[[Path], None]) -> Store:
    final, partial = store_folder() / key, _partial(key)
    for damaged in (final, partial):
        shutil.rmtree(damaged, ignore_errors=True)
    free = shutil.disk_usage(final.parent).free
    if free < about.bytes:
        raise OSError(errno.ENOSPC, f"{about.bytes / 1e6:,.0f} MB are needed and {free / 1e6:,.0f} MB are free")
    partial.mkdir()
    try:
        write(partial / _PIXELS)
        with (partial / _PIXELS).open("r+b") as file:
            os.fsync(file.fileno())
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        about = replace(about, sha256=sha256, created=datetime.now(UTC).isoformat())
        write_atomically(partial / _ABOUT, json.dumps(asdict(about), indent=2).encode())
        partial.rename(final)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return Store(final)


def store_keys() -> set[str]:
    """The keys of all stores, unfinished ones included."""
    folder = store_folder()
    names = [path.name.partition(".")[0] for path in folder.iterdir()] if folder.is_dir() else []
    return {name for name in names if _KEY.fullmatch(name)}


def store_bytes(key: str) -> int:
    """What the store takes of the disk, unfinished or not."""
    folders = (store_folder() / key, _partial(key))
    return sum(file.stat().st_size for folder in folders if folder.is_dir() for file in folder.iterdir())


def remove_store(key: str) -> bool:
    """Remove a store. Processes that use it keep what they have mapped.

    Returns:
        False if it stays, because a process is making it.

    Raises:
        UserError: it cannot be removed.
    """
    try:
        with FileLock(_lock(key), timeout=0):
            for folder in (store_folder() / key, _partial(key)):
                if folder.exists():
                    shutil.rmtree(folder)
            _lock(key).unlink()
    except Timeout:
        return False
    except OSError as error:
        raise UserError(f"{error.filename} cannot be removed ({error.strerror}); give access to it") from error
    return True


def _partial(key: str) -> Path:
    return store_folder() / f"{key}.partial"


def _lock(key: str) -> Path:
    return store_folder() / f"{key}.lock"
