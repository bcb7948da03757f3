"""Decoded images in files of the user's cache folder: made once, mapped into RAM by every run that needs them."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from benchmark.files import user_cache, write_atomically
from benchmark.images.checksums import block_checksums, file_checksum
from benchmark.images.decode import DECODER, PLAIN, Pixels, Reading
from benchmark.images.mapping import map_file, release
from benchmark.images.source import ImageSource
from benchmark.storage.json_files import read_json
from methods.errors import UserError

_PIXELS, _ABOUT = "pixels", "meta.json"
_KEY = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class About:
    """The description of a store.

    Attributes:
        task, split: the first task and split that it was made for; another task with the same images shares it.
        place: the folder or archive that it was made from; empty if there is none.
        images: how many, at least 1.
        size: their height and width, in pixels.
        channels: 3 for colours, 1 for grey.
        key: the store's key. This and the next attributes are empty until the pixels are written.
        sha256: the checksum of the pixels.
        blocks: the checksums of the pixels' blocks; see checksums.block_checksums.
        created: the time, in ISO 8601.
    """

    task: str
    split: str
    images: int
    size: int
    key: str = ""
    sha256: str = ""
    blocks: tuple[str, ...] = ()
    created: str = ""
    channels: int = 3
    place: str = ""

    @property
    def bytes(self) -> int:
        """The size of the pixels."""
        return self.images * self.channels * self.size**2


class DamagedStoreError(OSError):
    """A store differs from what was written. The message says why, to be put into a sentence."""


class Store:
    """One split's images, mapped from a file: a page takes RAM once it is read, and can be freed.

    All bytes of the file are checked when it is opened, once per process. A process that gets a pickled store opens the
    file itself, and checks it again only if the file has changed.

    Attributes:
        about: the description.
        pixels: uint8 [N, S, S, C]. Do not write to them: the file is never changed, and `release` drops changes.

    Raises:
        FileNotFoundError: `folder` holds no store.
        DamagedStoreError: the store is damaged.
        OSError: it cannot be read.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self.about = read_about(folder)
        with (folder / _PIXELS).open("rb") as file:
            # Before the bytes are checked, so that a change in the meantime is seen the next time.
            self._version = _version(os.fstat(file.fileno()), self.about)
            if self._version not in _checked:
                if block_checksums(folder / _PIXELS) != self.about.blocks:
                    raise DamagedStoreError("its bytes are not those that were written")
                _checked.add(self._version)
            self._mapped = map_file(file, self.about.bytes)
        self.pixels: Pixels = self._mapped.reshape(
            self.about.images, self.about.size, self.about.size, self.about.channels
        )

    @property
    def folder(self) -> Path:
        """The folder of the store."""
        return self._folder

    def release(self) -> None:
        """Free the RAM; pages that are used later are read again."""
        release(self._mapped)

    def __reduce__(self) -> tuple[Callable[[Path, _Version], Store], tuple[Path, _Version]]:
        return _opened_elsewhere, (self._folder, self._version)


# A file at one moment: its device, number, size, and the times of its last change in ns; and the SHA-256 of the pixels
# that it must hold.
_Version = tuple[int, int, int, int, int, str]

# The files whose bytes were checked by this process or by the one that started it.
_checked: set[_Version] = set()


def _version(status: os.stat_result, about: About) -> _Version:
    # A program can reset a file's time of modification, but not the time of the last change of its status.
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, about.sha256


def _opened_elsewhere(folder: Path, checked: _Version) -> Store:
    """The store that was pickled in another process on the same machine."""
    _checked.add(checked)
    return Store(folder)


def read_about(folder: Path) -> About:
    """The description of the store in a folder. Only the size of the pixels is checked.

    Raises:
        FileNotFoundError: the folder does not exist.
        DamagedStoreError: it has no description of this version, or one of other images, or pixels of another size.
        OSError: it cannot be read.
    """
    if not folder.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
    unknown = "its description is damaged, or of another version"
    if not all((folder / name).is_file() for name in (_ABOUT, _PIXELS)):
        raise DamagedStoreError("one of its files is missing")
    try:
        content = read_json(folder / _ABOUT)
        if content.pop("checksum") != _checksum(content):
            raise DamagedStoreError(unknown)
        about = About(**{**content, "blocks": tuple(content["blocks"])})
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise DamagedStoreError(unknown) from error
    if about.key != folder.name:
        raise DamagedStoreError("it holds other images")
    if (folder / _PIXELS).stat().st_size != about.bytes:
        raise DamagedStoreError("it has another size than what was written")
    return about


def _checksum(about: dict[str, Any]) -> str:
    """The checksum of a description, to find out whether it is damaged."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def store_folder() -> Path:
    """The folder of all stores; each has its own folder there, named by its key."""
    return user_cache() / "images"


def store_key(
    source: ImageSource, indices: Sequence[int], size: int, channels: int = 3, reading: Reading = PLAIN
) -> str | None:
    """A hash of all that the pixels of these images depend on; None if the source has no identity for them.

    Args:
        source, indices, size, channels, reading: see images.decode.
    """
    identity = source.identity(indices)
    return identity and hashlib.sha256(f"{DECODER}\n{size} {channels} {reading}\n{identity}".encode()).hexdigest()


def find_store(key: str, damaged: Callable[[str], None] = lambda why: None) -> Store | None:
    """The store under `key`; None if it does not exist or is damaged.

    Args:
        damaged: called with what is wrong with a damaged store.
    """
    try:
        return Store(store_folder() / key)
    except FileNotFoundError:
        return None
    except OSError as error:
        damaged(error.strerror or str(error))
        return None


def build_store(key: str, about: About, write: Callable[[Path], None]) -> Store:
    """Make the store under `key`, unless another process has made it while this one waited for the lock.

    A process that is killed while it writes leaves a folder with another name, which the next process removes.

    Args:
        key: see store_key.
        about: its description.
        write: writes the file of the pixels, in the order of Store.pixels.

    Raises:
        UserError: the cache folder cannot be written, or its disk is full.
    """
    folder = store_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The system unlocks it when the process ends, even if it is killed.
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
            version = os.fstat(file.fileno())
        with ThreadPoolExecutor(1) as thread:
            whole = thread.submit(file_checksum, partial / _PIXELS)
            blocks = block_checksums(partial / _PIXELS)
        created = datetime.now(UTC).isoformat()
        about = replace(about, key=key, sha256=whole.result(), blocks=blocks, created=created)
        content = asdict(about)
        write_atomically(partial / _ABOUT, json.dumps({**content, "checksum": _checksum(content)}, indent=2).encode())
        _checked.add(_version(version, about))
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
    """The disk space of a store, unfinished or not."""
    folders = (store_folder() / key, _partial(key))
    return sum(file.lstat().st_size for folder in folders if folder.is_dir() for file in folder.iterdir())


def remove_store(key: str) -> bool:
    """Remove a store. Processes that use it keep their mappings.

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
