"""Streams from the user's own files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmark.images.formats.known import EXTENSIONS
from benchmark.streams import streams
from benchmark.streams.image_tree import FolderTree, ZipTree
from benchmark.streams.left_out import left_beside
from benchmark.streams.source import RawTask, StreamSource
from benchmark.streams.task_tree import read_task, split_of
from methods.errors import UserError
from methods.names import check_name, did_you_mean, listed, same_name
from methods.options import split_list
from methods.paths import given_path


@streams.register("folder")
class FolderStream(StreamSource):
    r"""folder:DIR[:order=a,b,c] - an ImageFolder tree or zip per task.

    A task has the name of its folder, or of its zip without the extension. Other files are left out with a warning.

    Args:
        dir: the folder that holds one folder or zip per task (see task_tree.read_task).
        order: "name"; or the tasks' names, separated by commas, which leaves out all others (a comma in a name is
            written `\,`); or "seed:N", a random order that depends on N only.
    """

    default_image_size = 224

    def __init__(self, dir: str, order: str = "name"):
        self.dir = dir
        self.order = order
        self._seed = _seed(order)

    def raw_tasks(self, limit: int | None) -> list[RawTask]:
        folder = given_path("--stream", self.dir, home=True)
        entries = find_tasks(folder, "folder")
        # One folder with images may also be a task whose classes have no folders.
        if len(entries) > 1 and all(map(_is_class, entries.values())):
            raise UserError(
                f"{folder} has class folders and no tasks; split-folder:{self.dir}:tasks=N divides its classes among N "
                "tasks, and folder:DIR reads DIR/<task>/train/<class>/"
            )
        self.notes = tuple(left_beside(folder, "folder"))
        return [read_entry(name, entries[name]) for name in self._ordered(sorted(entries))[:limit]]

    def _ordered(self, names: list[str]) -> list[str]:
        if self.order == "name":
            return names
        if self._seed is not None:
            # NumPy promises never to change RandomState's numbers, so the order is the same in every version.
            return [names[i] for i in np.random.RandomState(self._seed).permutation(len(names))]
        chosen = [same_name(name, names) or name for name in split_list(self.order)]
        for name in chosen:
            if name not in names:
                comma = "; a comma in a name is written \\," if any("," in each for each in names) else ""
                raise UserError(
                    f"order={self.order}: {self.dir} has no task '{name}'; {did_you_mean(name, names)}it has "
                    f"{listed(names)}{comma}"
                )
            if chosen.count(name) > 1:
                raise UserError(f"order={self.order} names task '{name}' more than once; name it once")
        return chosen


def find_tasks(folder: Path, stream: str) -> dict[str, Path]:
    """Name -> folder or zip of each task in `folder`.

    Args:
        stream: the stream's name, for messages.

    Raises:
        UserError: the folder does not exist, holds no task, or has two tasks with one name or a name that cannot be
            shown.
    """
    if not folder.exists():
        raise UserError(f"there is no folder {folder}; {stream}:DIR needs one that holds a folder or zip per task")
    if not folder.is_dir():
        raise UserError(f"{folder} is a file; {stream}:DIR needs a folder that holds a folder or zip per task")
    entries: dict[str, Path] = {}
    for path in _listed(folder):
        if path.name.startswith(".") or path.name == "__MACOSX":
            continue
        if path.is_dir() or path.suffix.lower() == ".zip":
            name = path.name if path.is_dir() else path.stem
            check_name(f"{folder}: task", name)
            if name in entries:
                raise UserError(f"{entries[name]} and {path} are both task '{name}'; rename or remove one")
            entries[name] = path
    if not entries:
        raise UserError(f"{folder} holds no task; it needs a folder or a zip per task")
    # A task may be called like a split if it has splits itself.
    splits = {name: split_of(name) for name, path in entries.items() if split_of(name) and not _has_train(path)}
    if "train" in splits.values() or len(set(splits.values())) > 1:
        raise UserError(
            f"{folder} is a task itself, as it has a folder {min(splits)}; name the folder that holds it, or divide "
            "its classes among tasks with split-folder:DIR:tasks=N"
        )
    return entries


def _is_class(path: Path) -> bool:
    """Whether a folder has images and no folders."""
    inside = _listed(path) if path.is_dir() else []
    return any(each.suffix.lower() in EXTENSIONS for each in inside) and not any(each.is_dir() for each in inside)


def _has_train(path: Path) -> bool:
    return not path.is_dir() or any(split_of(inner.name) == "train" for inner in _listed(path))


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}); give access to it") from error


def read_entry(name: str, path: Path) -> RawTask:
    """The task in a folder or zip; see task_tree.read_task."""
    return read_task(name, FolderTree(path) if path.is_dir() else ZipTree(path))


def _seed(order: str) -> int | None:
    kind, colon, text = order.partition(":")
    if kind != "seed" or not colon:
        return None
    if not text.isdecimal() or int(text) >= 2**32:
        raise ValueError(f"order={order} needs a whole number from 0 to {2**32 - 1} after seed:, as in order=seed:7")
    return int(text)
