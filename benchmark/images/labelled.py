"""Decoded images with labels."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from benchmark.images.decode import Pixels
from benchmark.images.store import Store
from methods.data import Samples

# Images hashed at once: enough to be fast, few enough to take little RAM if they must be copied.
_CHUNK = 256


@dataclass(frozen=True)
class LabelledImages(Samples):
    """Decoded images with labels. Images that were decoded have the channels-last layout.

    Attributes:
        store: the file that the images are mapped from; None if there is no such file, as for a copy with other images.
    """

    store: Store | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def from_pixels(cls, pixels: Pixels, labels: Tensor) -> LabelledImages:
        """Images from an array [N, S, S, C]; they share its RAM."""
        return cls(torch.from_numpy(pixels).permute(0, 3, 1, 2), labels)

    @classmethod
    def from_store(cls, store: Store, labels: Tensor) -> LabelledImages:
        """The images of a store, which take no RAM until they are read."""
        with warnings.catch_warnings():
            # torch warns that read-only pages may be written, but nobody writes to them.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writ", category=UserWarning)
            data = cls.from_pixels(store.pixels, labels)
        object.__setattr__(data, "store", store)
        return data

    def relabelled(self, labels: Tensor) -> LabelledImages:
        """The same images with other labels."""
        data = object.__new__(type(self))
        vars(data).update(vars(self), labels=labels)
        return data

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process maps the file itself, so the content need not be sent.
        if self.store:
            return LabelledImages.from_store, (self.store, self.labels)
        return LabelledImages, (self.images, self.labels)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the images' bytes; if a store knows it, it is not computed again."""
        if self.store:
            return self.store.about.sha256
        digest = hashlib.sha256()
        for chunk in self.images.split(_CHUNK):
            # The same layout as in a store.
            digest.update(chunk.permute(0, 2, 3, 1).contiguous().numpy().data)
        return digest.hexdigest()

    def release(self) -> None:
        if self.store:
            self.store.release()
