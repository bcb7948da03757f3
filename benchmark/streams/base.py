"""What a stream is made of: tasks, each an image-classification data set of its own."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from benchmark.images import Pixels
from benchmark.store import Store

# Images that are hashed at once: enough to be fast, few enough to take little memory where they have to be copied.
_CHUNK = 256


@dataclass(frozen=True)
class LabelledImages:
    """Decoded images with labels.

    Attributes:
        images: uint8 [N, 3, S, S], channels-last in memory where they were decoded. They are the same for all methods,
            and not to be written.
        labels: int64 [N], values 0 .. classes-1.
        store: the file that the images are mapped from, if any. A copy with other images has none.
    """

    images: Tensor
    labels: Tensor
    store: Store | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def from_pixels(cls, pixels: Pixels, labels: Tensor) -> LabelledImages:
        """Images from an array [N, S, S, 3], whose memory they share."""
        return cls(torch.from_numpy(pixels).permute(0, 3, 1, 2), labels)

    @classmethod
    def from_store(cls, store: Store, labels: Tensor) -> LabelledImages:
        """The images of a store, which take no memory until they are looked at."""
        with warnings.catch_warnings():
            # Where the pages are read-only, torch warns of writing, which nobody does.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writ", category=UserWarning)
            data = cls.from_pixels(store.pixels, labels)
        object.__setattr__(data, "store", store)
        return data

    def __len__(self) -> int:
        return len(self.labels)

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process maps the file itself, rather than being sent what it holds.
        if self.store:
            return LabelledImages.from_store, (self.store, self.labels)
        return LabelledImages, (self.images, self.labels)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the images' bytes; what a store knows is not computed again."""
        if self.store:
            return self.store.about.sha256
        digest = hashlib.sha256()
        for chunk in self.images.split(_CHUNK):
            # As in a store.
            digest.update(chunk.permute(0, 2, 3, 1).contiguous().numpy().data)
        return digest.hexdigest()

    def release(self) -> None:
        """Give memory back, if the images can be read again: to be called now and then by who goes over many."""
        if self.store:
            self.store.release()


@dataclass(frozen=True)
class Task:
    """One task of a stream, decoded and split, ready to learn from."""

    name: str
    classes: tuple[str, ...]
    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages

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
        """A hash of the class names, and of the images and labels that a method may be tuned on."""
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
        """Of the tasks."""
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
    def fingerprint(self) -> str:
        """SHA-256 of the tasks' fingerprints, in order."""
        return hashlib.sha256("".join(task.fingerprint for task in self.tasks).encode()).hexdigest()
