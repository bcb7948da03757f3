"""What a stream is made of: tasks, each an image-classification data set of its own."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class LabelledImages:
    """Decoded images with labels.

    Attributes:
        images: uint8 [N, 3, S, S].
        labels: int64 [N], values 0 .. classes-1.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


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
        """SHA-256 of the class names, images and labels."""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        for part in (self.train, self.validation, self.test):
            digest.update(part.images.numpy().tobytes())
            digest.update(part.labels.numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Stream:
    """The tasks, in the order they arrive, and the specification they came from."""

    spec: str
    tasks: tuple[Task, ...]

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def most_classes(self) -> int:
        """The largest class count of any task."""
        return max(len(task.classes) for task in self.tasks)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the tasks' fingerprints, in order."""
        return hashlib.sha256("".join(task.fingerprint for task in self.tasks).encode()).hexdigest()


class ImageSource(ABC):
    """The labelled images of one split before they are decoded: only those that are chosen are ever read.

    Attributes:
        labels: one label per image, values 0 .. classes-1.
    """

    labels: Sequence[int]

    @abstractmethod
    def read(self, index: int) -> Image.Image:
        """The image at `index`, any mode and size. Called from several threads at once.

        Raises:
            UserError: what is there is not an image; the message names the file.
        """


@dataclass(frozen=True)
class RawTask:
    """A task as a stream's source gives it: names and undecoded images.

    `test` is None where the source has no test split; a seeded one is then split off `train`.
    """

    name: str
    classes: tuple[str, ...]
    train: ImageSource
    test: ImageSource | None


class StreamSource(ABC):
    """A kind of stream. The constructor's signature is its specification's options (see methods.options).

    The constructor refuses bad options with ValueError or UserError; reading files belongs to `raw_tasks`.
    """

    #: Height and width to which images are resized when the user does not say, in pixels.
    default_image_size: ClassVar[int]

    @abstractmethod
    def raw_tasks(self, limit: int | None) -> list[RawTask]:
        """The first `limit` tasks (all of them if None), in stream order.

        Raises:
            UserError: something is missing or malformed; the message names the file or folder.
        """


class ArrayImages(ImageSource):
    """Images that are already an array.

    Args:
        images: uint8 [N, S, S, 3] tensor.
        labels: N labels.
    """

    def __init__(self, images: Tensor, labels: Sequence[int]):
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[-1] != 3:
            raise TypeError("images must be uint8 [N, S, S, 3]")
        self.images = images
        self.labels = labels

    def read(self, index: int) -> Image.Image:
        return Image.fromarray(self.images[index].numpy())
