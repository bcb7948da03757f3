"""A task's files on disk: an ImageFolder tree in a folder or inside a zip, read without unpacking."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import stat
import threading
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from benchmark.images import read_image
from benchmark.streams.source import ImageSource, RawTask
from methods.errors import UserError

# No picture of a data set takes so much memory, and so little of an archive at once: more than so many bytes, and more
# than so many times what it is packed into.
_LARGE, _RATIO = 100 << 20, 100

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


class ImageTree(ABC):
    """The files below one root. Paths within it are relative, with "/" between folders; the root itself is "".

    What file managers and archivers leave behind (.DS_Store, __MACOSX) is not part of it.

    Args:
        root: the folder or zip.
        folders: every folder below the root.
        files: every file below the root; only images are kept, as their extensions tell.

    Attributes:
        root: as given.
        folders: in ascending order.
        images: in ascending order.
    """

    def __init__(self, root: Path, folders: Iterable[str], files: Iterable[str]):
        self.root = root
        self.folders = sorted(path for path in folders if not _is_litter(path))
        self.images = sorted(path for path in files if path.lower().endswith(IMAGE_EXTENSIONS) and not _is_litter(path))

    @abstractmethod
    def read(self, path: str) -> bytes:
        """The content of the file at `path`. Called from several threads at once.

        Raises:
            UserError: it cannot be read.
        """

    @abstractmethod
    def identity(self, path: str) -> str:
        """What changes with the content of the file at `path`, found without reading it.

        Raises:
            UserError: the file is gone.
        """


class FolderTree(ImageTree):
    """The files in a folder.

    As for git, a file is the same as long as its path, size and times are: to read them all on every start would take
    longer than is gained. Not even a tool that sets a file's time of modification back hides a change, since the
    system notes when it did so.

    Args:
        root: the folder.
        files: those that matter, where they are known; None for all below the root, which are then looked for.
    """

    def __init__(self, root: Path, files: Sequence[str] | None = None):
        folders, found = _walk(root) if files is None else ([], files)
        self._place = root.resolve()
        super().__init__(root, folders, found)

    def read(self, path: str) -> bytes:
        try:
            return (self.root / path).read_bytes()
        except OSError as error:
            raise UserError(f"{self.root / path} cannot be read ({error.strerror})") from error

    def identity(self, path: str) -> str:
        try:
            status = (self.root / path).stat()
        except OSError as error:
            raise UserError(f"{self.root / path} cannot be read ({error.strerror})") from error
        return f"{self._place}/{path} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"

    def __getstate__(self) -> dict[str, Any]:
        # A worker process reads files that it is told of; the lists would be most of what it is sent.
        return {"root": self.root}


class ZipTree(ImageTree):
    """The files in a zip archive; members are read into memory when they are asked for.

    The archive's directory has a checksum of each, which tells whether it changed.

    Raises:
        UserError: the file is not a zip archive, or is one that was made to do harm.
    """

    def __init__(self, root: Path):
        try:
            self._archive = zipfile.ZipFile(root)
        except (OSError, zipfile.BadZipFile) as error:
            raise UserError(f"{root} is not a readable zip archive ({error}); replace or remove it") from error
        self._lock = threading.Lock()
        members = self._archive.infolist()
        for member in members:
            _check_harmless(root, member)
        self._members = {_relative(member.filename): member for member in members if not member.is_dir()}
        folders = {_relative(member.filename) for member in members if member.is_dir()}
        # Most archives have no entries of their own for folders.
        for folder in {posixpath.dirname(path) for path in self._members}:
            while folder:
                folders.add(folder)
                folder = posixpath.dirname(folder)
        super().__init__(root, folders, self._members)

    def read(self, path: str) -> bytes:
        try:
            # One handle serves all threads; decoding, which takes the time, happens outside.
            with self._lock:
                return self._archive.read(self._members[path])
        # RuntimeError: it is encrypted, or packed in a way that Python cannot unpack.
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            raise UserError(f"{self.root / path} cannot be read from the archive ({error})") from error

    def identity(self, path: str) -> str:
        member = self._members[path]
        return f"{path} {member.file_size} {member.CRC:08x}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, (self.root,)


@lru_cache(maxsize=1)
def _opened(root: Path) -> ZipTree:
    """In a worker process, which is sent the same archive again and again, and opens it once."""
    return ZipTree(root)


class TreeImages(ImageSource):
    """Images of one split of a tree.

    Args:
        tree: where they are.
        paths: of each image, within the tree.
        labels: of each image.
    """

    def __init__(self, tree: ImageTree, paths: list[str], labels: list[int]):
        self.tree = tree
        self.paths = paths
        self.labels = labels

    def read(self, index: int) -> Image.Image:
        path = self.paths[index]
        return read_image(self.tree.read(path), str(self.tree.root / path))

    def identity(self, indices: Sequence[int]) -> str:
        digest = hashlib.sha256(f"{type(self.tree).__name__}\n".encode())
        for index in indices:
            digest.update(os.fsencode(f"{self.tree.identity(self.paths[index])}\n"))
        return digest.hexdigest()

    def part(self, indices: Sequence[int]) -> TreeImages:
        return TreeImages(self.tree, [self.paths[i] for i in indices], [self.labels[i] for i in indices])


def read_task(name: str, tree: ImageTree) -> RawTask:
    """The task that a tree holds: train/<class>/ and test/<class>/, train/ alone, or class folders and nothing else.

    One folder around all of it is tolerated. Classes are in order of their names, and images may lie at any depth below
    the folder of their class.

    Raises:
        UserError: there are no class folders, or those of train/ and test/ differ.
    """
    base = _base(tree)
    train_folder, test_folder = posixpath.join(base, "train"), posixpath.join(base, "test")
    has_train, has_test = train_folder in tree.folders, test_folder in tree.folders
    if has_test and not has_train:
        raise UserError(f"{tree.root} has a folder test but no folder train; a task needs train/<class>/")
    train = _children(tree, train_folder if has_train else base)
    if not train:
        raise UserError(f"{tree.root} has no class folders; a task needs train/<class>/ with images in them")
    classes = tuple(posixpath.basename(folder) for folder in train)
    if not has_test:
        return RawTask(name, classes, _images(tree, train), None)
    test = _children(tree, test_folder)
    difference = sorted(set(classes) ^ {posixpath.basename(folder) for folder in test})
    if difference:
        split = "train" if difference[0] in classes else "test"
        raise UserError(
            f"{tree.root}: train and test need the same classes, but '{difference[0]}' is only in {split}"
            + (f" ({len(difference)} classes differ)" if len(difference) > 1 else "")
        )
    return RawTask(name, classes, _images(tree, train), _images(tree, test))


def _images(tree: ImageTree, classes: list[str]) -> TreeImages:
    """Those below the folders of the classes; a folder's position is the label."""
    label_of = {folder: label for label, folder in enumerate(classes)}
    depth = classes[0].count("/") + 1
    labelled = [(path, label_of.get("/".join(path.split("/")[:depth]))) for path in tree.images]
    found = [(path, label) for path, label in labelled if label is not None]
    return TreeImages(tree, [path for path, _ in found], [label for _, label in found])


def _base(tree: ImageTree) -> str:
    """The root, or the one folder that wraps everything."""
    top = _children(tree, "")
    if len(top) != 1 or top[0] in ("train", "test") or not _children(tree, top[0]):
        return ""
    holds_images = any(posixpath.dirname(path) == top[0] for path in tree.images)
    return "" if holds_images else top[0]


def _children(tree: ImageTree, parent: str) -> list[str]:
    return [folder for folder in tree.folders if posixpath.dirname(folder) == parent]


def _walk(root: Path) -> tuple[list[str], list[str]]:
    """The folders and the files below a folder."""
    folders: list[str] = []
    files: list[str] = []
    for parent, folder_names, file_names in os.walk(root, followlinks=True):
        here = Path(parent).resolve()
        # A link to a folder around it would bring the same images in again and again.
        folder_names[:] = [name for name in folder_names if not here.is_relative_to((here / name).resolve())]
        below = Path(parent).relative_to(root).parts
        folders += ["/".join((*below, name)) for name in folder_names]
        files += ["/".join((*below, name)) for name in file_names]
    return folders, files


def _check_harmless(root: Path, member: zipfile.ZipInfo) -> None:
    """Refuse what leads out of an archive, although nothing is unpacked here, and what would fill the memory.

    Raises:
        UserError: naming the member.
    """
    parts = re.split(r"[/\\]", member.filename)
    outside = not parts[0] or ".." in parts or re.fullmatch("[A-Za-z]:.*", parts[0])
    if outside or stat.S_ISLNK(member.external_attr >> 16):
        raise UserError(
            f"{root} holds '{member.filename}', which leads out of the archive or is a link; pack files and folders"
        )
    if member.file_size > max(_LARGE, _RATIO * member.compress_size):
        raise UserError(
            f"{root / member.filename} would take {member.file_size / 1e6:,.0f} MB, more than {_RATIO} times its size "
            "in the archive; replace or remove it"
        )


def _relative(path: str) -> str:
    return posixpath.normpath(path).lstrip("/")


def _is_litter(path: str) -> bool:
    return path.startswith((".", "__MACOSX")) or "/." in path or "/__MACOSX" in path
