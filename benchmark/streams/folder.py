"""Streams from the user's own files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmark.streams import streams
from benchmark.streams.image_tree import FolderTree, ZipTree, read_task
from benchmark.streams.source import RawTask, StreamSource
from methods.errors import UserError


@streams.register("folder")
class FolderStream(StreamSource):
    """folder:DIR[:order=a,b,c] - an ImageFolder tree or zip per task.

    A task is called as its folder, or as its zip without the extension. Files that are neither are ignored.

    Args:
        dir: the folder that holds one folder or zip per task (see image_tree.read_task).
        order: "name"; or the tasks' names, separated by commas, which also leaves out all others; or "seed:N", a random
            order that depends on N only.
    """

    default_image_size = 224

    def __init__(self, dir: str, order: str = "name"):
        self.dir = dir
        self.order = order
        self._seed = _seed(order)

    def raw_tasks(self, limit: int | None) -> list[RawTask]:
        entries = find_tasks(Path(self.dir).expanduser(), "folder")
        return [read_entry(name, entries[name]) for name in self._ordered(sorted(entries))[:limit]]

    def _ordered(self, names: list[str]) -> list[str]:
        if self.order == "name":
            return names
        if self._seed is not None:
            # RandomState's streams are frozen by NumPy's policy, so the order outlives its versions.
            return [names[i] for i in np.random.RandomState(self._seed).permutation(len(names))]
        chosen = self.order.split(",")
        for name in chosen:
            if name not in names:
                raise UserError(f"order={self.order}: {self.dir} has no task '{name}'; it has {', '.join(names)}")
            if chosen.count(name) > 1:
                raise UserError(f"order={self.order} names task '{name}' more than once; name it once")
        return chosen


def find_tasks(folder: Path, stream: str) -> dict[str, Path]:
    """Name -> folder or zip of each task in `folder`.

    Args:
        stream: the stream's name, for messages.

    Raises:
        UserError: there is no such folder, it holds no task, or two of one name.
    """
    if not folder.exists():
        raise UserError(f"there is no folder {folder}; {stream}:DIR needs one that holds a folder or zip per task")
    if not folder.is_dir():
        raise UserError(f"{folder} is a file; {stream}:DIR needs a folder that holds a folder or zip per task")
    entries: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "__MACOSX":
            continue
        if path.is_dir() or path.suffix.lower() == ".zip":
            name = path.name if path.is_dir() else path.stem
            if name in entries:
                raise UserError(f"{entries[name]} and {path} are both task '{name}'; rename or remove one")
            entries[name] = path
    if not entries:
        raise UserError(f"{folder} holds no task; it needs a folder or a zip per task")
    if "train" in entries and entries["train"].is_dir():
        raise UserError(f"{folder} is a task itself, as it has a folder train; name the folder that holds it")
    return entries


def read_entry(name: str, path: Path) -> RawTask:
    """The task in a folder or zip; see image_tree.read_task."""
    return read_task(name, FolderTree(path) if path.is_dir() else ZipTree(path))


def _seed(order: str) -> int | None:
    kind, colon, text = order.partition(":")
    if kind != "seed" or not colon:
        return None
    if not text.isdecimal() or int(text) >= 2**32:
        raise ValueError(f"order={order} needs a whole number from 0 to {2**32 - 1} after seed:, as in order=seed:7")
    return int(text)
