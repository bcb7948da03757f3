"""The CLR article's stream of 53 data sets, from its authors' files or from an image tree per task."""

from __future__ import annotations

import posixpath
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.images.source import ImageSource
from benchmark.streams import streams
from benchmark.streams.folder import find_tasks, read_entry
from benchmark.streams.image_tree import FolderTree, TreeImages
from benchmark.streams.left_out import left_beside
from benchmark.streams.selection import at_most, generator
from benchmark.streams.skill53_list import TASKS
from benchmark.streams.source import RawTask, StreamSource
from methods.errors import UserError
from methods.paths import given_path

#: The places of the database and of its images in the authors' unpacked archive.
DATABASE = "rolling_releases/database_2.sqlite"
IMAGES = "original_images"

#: A data set with at least this many classes gives more images: a task's training and test images in total.
MANY_CLASSES = 60
IMAGES_OF_MANY = 5120, 512
IMAGES_OF_FEW = 2560, 256
#: If a data set has more classes, the first ones are used.
MOST_CLASSES = 300


@streams.register("skill53")
class Skill53Stream(StreamSource):
    """skill53:DIR[:partial=true] - the 53 data sets of the CLR article, in its order and reduced by its rule.

    DIR is the authors' archive, unpacked: a database in rolling_releases/, and the files in original_images/. Like the
    authors, it takes the images that the database calls validation as test images. Or DIR holds a folder or zip per
    task, with a name of `skill53_list` (small letters, or other signs between words, are accepted), each a tree
    train/<class>/ and test/<class>/.

    Args:
        dir: that folder.
        partial: whether tasks may be missing.
    """

    default_image_size = 224

    def __init__(self, dir: str, partial: bool = False):
        self.dir = dir
        self.partial = partial

    def raw_tasks(self, limit: int | None) -> list[RawTask]:
        folder = given_path("--stream", self.dir, home=True)
        archive = _Published(folder) if (folder / DATABASE).is_file() else _Trees(folder)
        wanted = TASKS if self.partial else TASKS[:limit]
        found = [task for task in wanted if archive.holds(*task)]
        if not found or (len(found) < len(wanted) and not self.partial):
            missing = ", ".join(name for number, name in wanted if (number, name) not in found)
            instead = "" if self.partial or not found else f", or take the others with skill53:{self.dir}:partial=true"
            lack = f"lacks {len(wanted) - len(found)} of {len(wanted)} tasks of skill53"
            raise UserError(f"{folder} {lack}: add {archive.wanted} for {missing}{instead}{archive.note}")
        self.notes = tuple(archive.notes)
        return [reduced(archive.read(*task)) for task in found[:limit]]


def reduced(raw: RawTask) -> RawTask:
    """The images of a data set that the article uses.

    With 60 classes or more, 5,120 training and 512 test images, else 2,560 and 256. Each class has an equal, rounded
    share, or all its images if it has fewer; of more than 300 classes the first 300 are used. The choice of images
    depends on the task's name only.
    """
    classes = raw.classes[:MOST_CLASSES]
    assert raw.test is not None
    most, most_test = IMAGES_OF_MANY if len(raw.classes) >= MANY_CLASSES else IMAGES_OF_FEW
    train = _share(raw.train, len(classes), most, generator(raw.name, "skill53 train"))
    test = _share(raw.test, len(classes), most_test, generator(raw.name, "skill53 test"))
    # The article's files have no validation images; a tree gives as many as test images.
    validation = raw.validation and _share(
        raw.validation, len(classes), most_test, generator(raw.name, "skill53 validation")
    )
    before, after = (
        sum(len(part.labels) for part in parts if part)
        for parts in ((raw.train, raw.test, raw.validation), (train, test, validation))
    )
    beyond = (f"{before - after:,} images beyond the article's share",) if before > after else ()
    return RawTask(raw.name, classes, train, test, validation, raw.notes, raw.left_out + beyond)


def _share(source: ImageSource, classes: int, images: int, random: np.random.RandomState) -> ImageSource:
    labels = np.asarray(source.labels, dtype=np.int64)
    candidates = np.flatnonzero(labels < classes)
    chosen = source.part(candidates[at_most(round(images / classes), labels[candidates], random)].tolist())
    assert chosen is not None, "a tree's images have parts"
    return chosen


class _Archive(ABC):
    """The files of the data sets.

    Attributes:
        wanted: what must exist for each task, for messages.
        note: what else to say about the files: empty, or the end of a sentence.
        notes: the same as lines, if nothing is missing.
    """

    wanted: str
    note: str = ""
    notes: Sequence[str] = ()

    @abstractmethod
    def holds(self, number: int, name: str) -> bool:
        """Whether a task of the list exists."""

    @abstractmethod
    def read(self, number: int, name: str) -> RawTask:
        """All training and test images of the task."""


class _Published(_Archive):
    """The authors' files."""

    def __init__(self, folder: Path):
        self._database = folder / DATABASE
        self._images = folder / IMAGES
        self._names = dict(self._rows("SELECT dataset_id, dataset_name FROM datasets"))
        self.wanted = f"a row in {DATABASE} and a folder in {IMAGES}/"

    def holds(self, number: int, name: str) -> bool:
        return number in self._names and (self._images / self._names[number]).is_dir()

    def read(self, number: int, name: str) -> RawTask:
        splits: tuple[list[tuple[str, int]], list[tuple[str, int]]] = ([], [])
        for split, label, path, file in self._rows(
            # In brackets, because SQLite would read "set" as text if there is no such column.
            "SELECT [set], class_id, path, filename FROM files WHERE dataset_id = ? AND problem = 0 "
            "AND [set] IN (0, 1) ORDER BY class_id, path, filename",
            number,
        ):
            # The path begins and ends with a slash.
            splits[split].append((self._inside(f"{self._names[number]}{path}{file}"), label))
        classes = sorted({label for _, label in splits[0]})
        train, test = (self._split(images, classes) for images in splits)
        lost = len(splits[1]) - len(test.labels)
        note = f"task '{name}' leaves out {lost} test images of classes that have no training images"
        left_out = (f"{lost} test images of classes without training images",) if lost else ()
        return RawTask(name, tuple(map(str, classes)), train, test, notes=(note,) if lost else (), left_out=left_out)

    def _split(self, images: Sequence[tuple[str, int]], classes: list[int]) -> TreeImages:
        position = {label: number for number, label in enumerate(classes)}
        known = [(path, position[label]) for path, label in images if label in position]
        paths = [path for path, _ in known]
        return TreeImages(FolderTree(self._images, paths), paths, [label for _, label in known])

    def _inside(self, path: str) -> str:
        normal = posixpath.normpath(path)
        if normal.startswith(("/", "..")):
            raise UserError(f"{self._database} lists {path}, which is outside of {self._images}; fetch it again")
        return normal

    def _rows(self, query: str, *values: int) -> list[tuple[Any, ...]]:
        try:
            with closing(sqlite3.connect(f"{self._database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
                return connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise UserError(f"{self._database} is not the database of skill53 ({error}); fetch it again") from error


class _Trees(_Archive):
    """A folder or zip per task."""

    wanted = "a folder or zip with train/<class>/ and test/<class>/"

    def __init__(self, folder: Path):
        found = find_tasks(folder, "skill53")
        self._entries = {_letters(name): path for name, path in found.items()}
        known = {_letters(name) for _, name in TASKS}
        others = [name for name in found if _letters(name) not in known]
        if others:
            self.note = f"; {', '.join(others)} {'is' if len(others) == 1 else 'are'} none of them"
        beside = [f"skill53:{folder} leaves out {', '.join(others)}: no task of skill53 is called so"] if others else []
        self.notes = [*beside, *left_beside(folder, "skill53")]

    def holds(self, number: int, name: str) -> bool:
        return _letters(name) in self._entries

    def read(self, number: int, name: str) -> RawTask:
        path = self._entries[_letters(name)]
        task = read_entry(name, path)
        if task.test is None:
            raise UserError(f"{path} has no folder test; a task of skill53 needs train/<class>/ and test/<class>/")
        return task


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))
