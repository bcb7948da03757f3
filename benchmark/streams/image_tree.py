"""A task's files on disk: an ImageFolder tree in a folder or in a zip, which is not unpacked."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import stat
import threading
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from benchmark.images.decode import read_image
from benchmark.images.formats.known import EXTENSIONS
from benchmark.images.source import ImageSource
from methods.errors import UserError
from methods.names import printable

# No real picture unpacks to more than this many bytes and also to more than this many times its packed size.
_LARGE, _RATIO = 100 << 20, 100
# More bytes than the file of the largest accepted picture can have, uncompressed.
_LARGEST = 1 << 30

# The bit in a member's flags for "needs a password".
_ENCRYPTED = 0x1

# Files that Windows and macOS put beside images.
_LITTER = ("thumbs.db", "desktop.ini")


class ImageTree(ABC):
    """The files below one root. Paths within it are relative, with "/" between folders; the root itself is "".

    Files that systems, file managers and archivers leave behind (.DS_Store, Thumbs.db, __MACOSX) are not part of it.

    Args:
        root: the folder or zip.
        folders: every folder below the root.
        files: every file below the root.

    Attributes:
        root: as given.
        folders: in ascending order.
        images: the files with an image's extension, in ascending order.
        others: all other files, in ascending order.
        repeated: files that a zip has several times, and whether these are all the same; the last one is used.
    """

    def __init__(self, root: Path, folders: Iterable[str], files: Iterable[str]):
        self.root = root
        self.folders = sorted(path for path in folders if not is_litter(path))
        kept = sorted(path for path in files if not is_litter(path))
        self.images = [path for path in kept if path.lower().endswith(EXTENSIONS)]
        self.others = [path for path in kept if not path.lower().endswith(EXTENSIONS)]
        self.repeated: dict[str, bool] = {}

    @abstractmethod
    def read(self, path: str) -> bytes:
        """The content of the file at `path`. Called from several threads at once.

        Raises:
            UserError: it cannot be read.
        """

    @abstractmethod
    def identity(self, path: str) -> str:
        """A text that changes with the content of the file at `path`, found without reading it.

        Raises:
            UserError: the file is gone.
        """


class FolderTree(ImageTree):
    """The files in a folder.

    As in git, a file is the same if its path, size and times are, because reading all files on every start would take
    longer than it saves. A tool that resets a file's time of modification cannot hide a change, because the system
    records when it did so.

    Args:
        root: the folder.
        files: the files to use, if they are known; None to find all files below the root.
    """

    def __init__(self, root: Path, files: Sequence[str] | None = None):
        folders, found = _walk(root) if files is None else ([], files)
        self._place = root.resolve()
        super().__init__(root, folders, found)

    def read(self, path: str) -> bytes:
        place = self.root / path
        self._status(place)
        try:
            return place.read_bytes()
        except OSError as error:
            raise UserError(f"{printable(str(place))} cannot be read ({error.strerror})") from error

    def identity(self, path: str) -> str:
        status = self._status(self.root / path)
        return f"{self._place}/{path} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"

    def _status(self, place: Path) -> os.stat_result:
        try:
            status = place.stat()
        except OSError as error:
            if isinstance(error, FileNotFoundError) and place.is_symlink():
                raise UserError(f"{printable(str(place))} is a link to a file that is gone; remove it") from error
            raise UserError(f"{printable(str(place))} cannot be read ({error.strerror})") from error
        # Reading a pipe or a device may never end.
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{printable(str(place))} is a pipe, a device or a folder, not a file; remove it")
        if status.st_size > _LARGEST:
            raise UserError(
                f"{printable(str(place))} takes {status.st_size / 1e6:,.0f} MB, more than an image does; replace or "
                "remove it"
            )
        return status

    def __getstate__(self) -> dict[str, Any]:
        # A worker process reads only given files, and these lists would be most of the bytes that are sent to it.
        return {"root": self.root}


class ZipTree(ImageTree):
    """The files in a zip archive; a member is read when it is needed.

    The archive's directory has a checksum of each member, which shows whether it changed.

    Raises:
        UserError: the file is not a zip archive, or was made to do harm.
    """

    def __init__(self, root: Path):
        try:
            with zipfile.ZipFile(root) as archive:
                members = archive.infolist()
        # For a damaged or unknown archive, zipfile raises many kinds of errors: for a needed version
        # (NotImplementedError), a name that is not valid UTF-8, a number out of range.
        except Exception as error:
            raise UserError(f"{root} is not a readable zip archive ({_reason(error)}); replace or remove it") from error
        self._lock = threading.Lock()
        for member in members:
            _check_harmless(root, member)
        found: dict[str, list[zipfile.ZipInfo]] = {}
        for member in members:
            if not member.is_dir():
                found.setdefault(_relative(member.filename), []).append(member)
        self._members = {path: same[-1] for path, same in found.items()}
        folders = {_relative(member.filename) for member in members if member.is_dir()}
        # Most archives have no entries for folders.
        for folder in {posixpath.dirname(path) for path in self._members}:
            while folder:
                folders.add(folder)
                folder = posixpath.dirname(folder)
        super().__init__(root, folders, self._members)
        self.repeated = {
            path: len({(member.CRC, member.file_size) for member in same}) == 1
            for path, same in found.items()
            if len(same) > 1 and not is_litter(path)
        }

    def read(self, path: str) -> bytes:
        try:
            # All threads share one handle; decoding, which takes most of the time, is done outside the lock.
            with self._lock:
                return _archive(self).read(self._members[path])
        # Packed in a way that Python does not know, or damaged: each compression has its own errors.
        except Exception as error:
            raise UserError(f"{_shown(self.root, path)} cannot be read from the archive ({_reason(error)})") from error

    def identity(self, path: str) -> str:
        member = self._members[path]
        return f"{path} {member.file_size} {member.CRC:08x}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _SentZip, (self.root,)


class _SentZip:
    """An archive in a worker process. It is sent again and again, but opened only once."""

    def __init__(self, root: Path):
        self.root = root

    def read(self, path: str) -> bytes:
        return _opened(self.root).read(path)


@lru_cache(maxsize=1)
def _archive(tree: ZipTree) -> zipfile.ZipFile:
    """The archive that is being read. Other tasks' archives are closed, because a process may have few open files."""
    return zipfile.ZipFile(tree.root)


@lru_cache(maxsize=1)
def _opened(root: Path) -> ZipTree:
    return ZipTree(root)


class TreeImages(ImageSource):
    """Images of one split of a tree.

    Args:
        tree: the tree that holds the images.
        paths: each image's path within the tree.
        labels: each image's label.
    """

    def __init__(self, tree: ImageTree, paths: list[str], labels: list[int]):
        self.tree = tree
        self.paths = paths
        self.labels = labels

    @property
    def place(self) -> str:
        return str(self.tree.root.absolute())

    def read(self, index: int) -> Image.Image:
        return read_image(self.tree.read(self.paths[index]), self.describe(index))

    def file_of(self, index: int) -> str:
        return printable(self.paths[index])

    def describe(self, index: int) -> str:
        return _shown(self.tree.root, self.paths[index])

    def identity(self, indices: Sequence[int]) -> str:
        digest = hashlib.sha256(f"{type(self.tree).__name__}\n".encode())
        for index in indices:
            digest.update(os.fsencode(f"{self.tree.identity(self.paths[index])}\n"))
        return digest.hexdigest()

    def part(self, indices: Sequence[int]) -> TreeImages:
        return TreeImages(self.tree, [self.paths[i] for i in indices], [self.labels[i] for i in indices])


def _walk(root: Path) -> tuple[list[str], list[str]]:
    """The folders and the files below a folder."""
    folders: list[str] = []
    files: list[str] = []
    for parent, folder_names, file_names in os.walk(root, onerror=_refuse, followlinks=True):
        here = Path(parent).resolve()
        # A link to a folder above would add the same images again and again.
        folder_names[:] = [name for name in folder_names if not here.is_relative_to((here / name).resolve())]
        below = Path(parent).relative_to(root).parts
        folders += ["/".join((*below, name)) for name in folder_names]
        files += ["/".join((*below, name)) for name in file_names]
    return folders, files


def _refuse(error: OSError) -> None:
    raise UserError(
        f"{printable(error.filename)} cannot be read ({error.strerror}); give access to it or remove it"
    ) from error


def _check_harmless(root: Path, member: zipfile.ZipInfo) -> None:
    """Refuse a member that leads out of the archive (although nothing is unpacked), or cannot or must not be read.

    Raises:
        UserError: naming the member.
    """
    if "\0" in member.orig_filename:
        # zipfile cuts the name there, so that a file may get the name of its own folder, and nobody would miss it.
        raise UserError(
            f"{root} holds '{printable(member.orig_filename)}', a name with the character \\x00; pack it again"
        )
    parts = re.split(r"[/\\]", member.filename)
    outside = not parts[0] or ".." in parts or re.fullmatch("[A-Za-z]:.*", parts[0])
    if outside or stat.S_ISLNK(member.external_attr >> 16):
        raise UserError(
            f"{root} holds '{printable(member.filename)}', which leads out of the archive or is a link; pack files and "
            "folders"
        )
    if member.flag_bits & _ENCRYPTED:
        raise UserError(f"{_shown(root, member.filename)} is encrypted; pack it again without a password")
    if member.file_size > max(_LARGE, _RATIO * member.compress_size):
        raise UserError(
            f"{_shown(root, member.filename)} would take {member.file_size / 1e6:,.0f} MB, more than {_RATIO} times "
            "its size in the archive; replace or remove it"
        )


def _shown(root: Path, path: str) -> str:
    """A file's name in messages."""
    return printable(str(root / path))


def _reason(error: Exception) -> str:
    return printable(" ".join(str(error).split())) or type(error).__name__


def _relative(path: str) -> str:
    return posixpath.normpath(path).lstrip("/")


def is_litter(path: str) -> bool:
    """Whether a path is hidden or left behind by a system, or lies in such a folder."""
    hidden = path.startswith((".", "__MACOSX")) or "/." in path or "/__MACOSX" in path
    return hidden or posixpath.basename(path).lower() in _LITTER
