"""A stream's tasks before any image is decoded.

Nothing here needs torch, so the processes that decode images, which import this module, start faster.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from benchmark.images.source import ImageSource


@dataclass(frozen=True)
class RawTask:
    """A task from a stream's source: names and undecoded images.

    Attributes:
        name, classes: without control characters (see methods.names).
        train: training images.
        test: test images; None if the source has no test split: then a seeded one is split off `train`.
        validation: validation images; None if the source has none: then a part of `train` is held out.
        notes: what the user should know about the files, for example how many were left out: a line each.
        left_out: what the source leaves out, a few words for each kind, as "3 other files".
    """

    name: str
    classes: tuple[str, ...]
    train: ImageSource
    test: ImageSource | None
    validation: ImageSource | None = None
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class StreamSource(ABC):
    """A kind of stream. The constructor's signature is its specification's options (see methods.options).

    The constructor refuses bad options with ValueError or UserError; reading files belongs to `raw_tasks`.
    """

    #: Height and width of the resized images in pixels, if the user gives none.
    default_image_size: ClassVar[int]

    #: Set by `raw_tasks`: what the user should know about the whole stream, for example files that are not a task.
    notes: Sequence[str] = ()

    @abstractmethod
    def raw_tasks(self, limit: int | None) -> list[RawTask]:
        """The first `limit` tasks (all of them if None), in stream order.

        Raises:
            UserError: something is missing or malformed; the message names the file or folder.
        """
