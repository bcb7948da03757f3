"""Sources of images that are not decoded yet."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Images hashed at once.
_CHUNK = 256


class ImageSource(ABC):
    """The labelled images of one split before they are decoded: only chosen ones are read.

    Attributes:
        labels: one label per image, values 0 .. classes-1.
    """

    labels: Sequence[int]

    @property
    def place(self) -> str:
        """The folder or archive that holds the images, for the user; empty if there is none."""
        return ""

    @abstractmethod
    def read(self, index: int) -> Image.Image:
        """The image at `index`, any mode and size. Called from several threads at once.

        Raises:
            UserError: it is not an image; the message names the file.
        """

    def identity(self, indices: Sequence[int]) -> str | None:
        """A text that identifies the images at `indices`, in this order, found without decoding them.

        Decoded images are stored under it. None if nothing cheap is sure to change when the images change: then they
        are decoded on every start. A class that changes what `read` returns must change this too.
        """
        return None

    def part(self, indices: Sequence[int]) -> ImageSource | None:
        """Only the images at `indices`, small to pickle, for a process that helps to decode them.

        None if only this process can decode them.
        """
        return None

    def file_of(self, index: int) -> str | None:
        """The file of the image at `index`, relative to the folder or archive of all; None if it has none."""
        return None

    def describe(self, index: int) -> str:
        """The name of the image at `index` in messages: its file, if it has one."""
        return f"image {index}"


class ArrayImages(ImageSource):
    """Images that are already an array.

    Args:
        images: uint8 [N, S, S, 3].
        labels: N labels.
    """

    def __init__(self, images: NDArray[np.uint8], labels: Sequence[int]):
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
            raise TypeError("images must be uint8 [N, S, S, 3]")
        self.images = images
        self.labels = labels

    def read(self, index: int) -> Image.Image:
        return Image.fromarray(self.images[index])

    def identity(self, indices: Sequence[int]) -> str:
        digest = hashlib.sha256(f"array {self.images.shape[1:]}\n".encode())
        for start in range(0, len(indices), _CHUNK):
            digest.update(np.ascontiguousarray(self.images[np.asarray(indices[start : start + _CHUNK])]).data)
        return digest.hexdigest()
