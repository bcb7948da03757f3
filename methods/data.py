"""Labelled images, as a method sees them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Samples:
    """Images with labels: those of a task, or what a method trains on in their place.

    Attributes:
        images: uint8 [N, 3, S, S]. All methods share them: never write into them.
        labels: int64 [N]; of a task, values 0 .. classes-1.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def release(self) -> None:
        """Give memory back, if the images can be read again: for code that goes over many images, now and then."""
