"""A stream and its tasks; each task is an image-classification data set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from benchmark.images.labelled import LabelledImages
from methods.names import same_name


@dataclass(frozen=True)
class Task:
    """One task of a stream, decoded and split, ready to learn from.

    Attributes:
        name: its name, which no other task of the stream has.
        classes: the names of its classes; labels are their indices.
        train, validation, test: the images of each split.
        test_files: the file of each test image, relative to the task's folder or archive; empty if there are none.
    """

    name: str
    classes: tuple[str, ...]
    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    test_files: tuple[str, ...] = field(default=(), repr=False, kw_only=True)

    @property
    def image_size(self) -> int:
        """Height and width of the images, in pixels."""
        return int(self.train.images.shape[-1])

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the class names, images and labels."""
        return self._hash(self.train, self.validation, self.test)

    @cached_property
    def training_fingerprint(self) -> str:
        """A hash of the class names, and of the images and labels that methods may be tuned on."""
        return self._hash(self.train, self.validation)

    def _hash(self, *parts: LabelledImages) -> str:
        digest = hashlib.sha256("\n".join(self.classes).encode())
        for part in parts:
            digest.update(part.digest.encode())
            digest.update(part.labels.numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Stream:
    """The tasks, in the order they arrive, and the specification they came from."""

    spec: str
    tasks: tuple[Task, ...]

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tasks."""
        return tuple(task.name for task in self.tasks)

    def renamed(self, names: Sequence[str]) -> Stream:
        """The stream with other names for its tasks."""
        if tuple(names) == self.names:
            return self
        tasks = (replace(task, name=name) for task, name in zip(self.tasks, names, strict=True))
        return replace(self, tasks=tuple(tasks))

    @property
    def training_fingerprints(self) -> dict[str, str]:
        """Task -> its training fingerprint."""
        return {task.name: task.training_fingerprint for task in self.tasks}

    @property
    def in_files(self) -> bool:
        """Whether all images are mapped from files, so that the stream is small when it is pickled."""
        return all(part.store for task in self.tasks for part in (task.train, task.validation, task.test))

    @property
    def most_classes(self) -> int:
        """The largest class count of any task."""
        return max(len(task.classes) for task in self.tasks)

    @property
    def widths(self) -> tuple[int, ...]:
        """The class count of each task."""
        return tuple(len(task.classes) for task in self.tasks)

    @property
    def class_difference(self) -> str:
        """How the classes of a task first differ from those of the first task; empty if all tasks have the same."""
        first = self.tasks[0]
        for task in self.tasks[1:]:
            if len(task.classes) != len(first.classes):
                return f"'{first.name}' has {len(first.classes)} classes and '{task.name}' has {len(task.classes)}"
            for number, (one, other) in enumerate(zip(first.classes, task.classes, strict=True), 1):
                if same_name(one, (other,)) is None:
                    return f"class {number} is '{one}' in '{first.name}' and '{other}' in '{task.name}'"
        return ""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the tasks' fingerprints, in order."""
        return hashlib.sha256("".join(task.fingerprint for task in self.tasks).encode()).hexdigest()
