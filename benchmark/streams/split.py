"""One split of a task, from chosen images to decoded ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmark.images.decode import PLAIN, Reading
from benchmark.images.decoder import Decoder
from benchmark.images.formats.sizes import Sizes, joined, read_sizes, write_sizes
from benchmark.images.labelled import LabelledImages
from benchmark.images.source import ImageSource
from benchmark.images.store import About, build_store, find_store, store_key
from benchmark.streams.selection import Integers


@dataclass(frozen=True)
class Split:
    """Chosen images of a source.

    Attributes:
        task, name: the names of the task and of the split, for the user.
        source, indices: the chosen images.
        size: the height and width of the decoded images, in pixels.
        channels: 3 for colours, 1 for grey.
        reading: how images of other shapes and depths are read.
    """

    task: str
    name: str
    source: ImageSource
    indices: Integers
    size: int
    channels: int = 3
    reading: Reading = PLAIN
    _met: list[Sizes | None] = field(default_factory=list, init=False, repr=False, compare=False)

    def find(self, damaged: list[str]) -> LabelledImages | None:
        """The images, if they need no decoding: they have a store, or there are none.

        Args:
            damaged: gets a text if their store cannot be used: the split, and the reason.
        """
        if not len(self.indices):
            return LabelledImages(
                torch.empty((0, self.channels, self.size, self.size), dtype=torch.uint8), self._labels
            )
        store = self._key and find_store(self._key, lambda why: damaged.append(f"{self.task}, {self.name} ({why})"))
        return LabelledImages.from_store(store, self._labels) if store else None

    def describe(self, position: int) -> str:
        """The name of an image of the split in messages."""
        return self.source.describe(int(self.indices[position]))

    def files(self) -> tuple[str, ...]:
        """The file of each image, see ImageSource.file_of; empty if they have none."""
        return tuple(file for index in self.indices.tolist() if (file := self.source.file_of(index)) is not None)

    def decode(self, decoder: Decoder) -> LabelledImages:
        """The images, decoded into a store, or into RAM if the source has no identity for them.

        Raises:
            UserError: one is not an image, or the disk has no room for the store.
        """
        indices = self.indices.tolist()
        if self._key is None:
            pixels = decoder.to_array(
                self.source, indices, self.size, self.channels, self.reading, met=self._met.append
            )
            return LabelledImages.from_pixels(pixels, self._labels)

        def write(path: Path) -> None:
            decoder.to_file(self.source, indices, self.size, path, self.channels, self.reading, met=self._met.append)
            write_sizes(path.parent, joined(self._met))

        about = About(self.task, self.name, len(indices), self.size, channels=self.channels, place=self.source.place)
        return LabelledImages.from_store(build_store(self._key, about, write), self._labels)

    def sizes(self, data: LabelledImages) -> Sizes | None:
        """The sizes of the images before they were resized; None if they are not known.

        Args:
            data: what `find` or `decode` returned.
        """
        return read_sizes(data.store.folder) if data.store else joined(self._met)

    @cached_property
    def _key(self) -> str | None:
        return store_key(self.source, self.indices.tolist(), self.size, self.channels, self.reading)

    @property
    def _labels(self) -> Tensor:
        return torch.from_numpy(np.asarray(self.source.labels, dtype=np.int64)[self.indices])
