"""Labelled images, as a method sees them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Samples:
    """Images with labels: those of a task, or those that a method trains on instead.

    Attributes:
        images: uint8 [N, C, S, S]; C is 3, or 1 if the backbone wants grey images. All methods share them: never write
            into them.
        labels: int64 [N]; for a task, values 0 .. classes-1.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def release(self) -> None:
        """Free RAM, if the images can be read again. Code that goes over many images calls this now and then."""
