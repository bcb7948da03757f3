"""Where a stream's tasks come from, before any image is decoded.

Nothing here needs torch: the processes that decode images import this module, and start the sooner.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from benchmark.images.source import ImageSource


@dataclass(frozen=True)
class RawTask:
    """A task as a stream's source gives it: names and undecoded images.

    Attributes:
        name, classes: without control characters (see methods.names).
        train: training images.
        test: test images; None where the source has no test split: a seeded one is then split off `train`.
        validation: validation images; None where the source has none: a tenth of `train` is then held out.
        notes: what the user should know of the files, as how many were left out: a line each.
    """

    name: str
    classes: tuple[str, ...]
    train: ImageSource
    test: ImageSource | None
    validation: ImageSource | None = None
    notes: tuple[str, ...] = ()


class StreamSource(ABC):
    """A kind of stream. The constructor's signature is its specification's options (see methods.options).

    The constructor refuses bad options with ValueError or UserError; reading files belongs to `raw_tasks`.
    """

    #: Height and width to which images are resized when the user does not say, in pixels.
    default_image_size: ClassVar[int]

    #: Once `raw_tasks` was called: what the user should know of the stream as a whole, as files that are no task.
    notes: Sequence[str] = ()

    @abstractmethod
    def raw_tasks(self, limit: int | None) -> list[RawTask]:
        """The first `limit` tasks (all of them if None), in stream order.

        Raises:
            UserError: something is missing or malformed; the message names the file or folder.
        """
