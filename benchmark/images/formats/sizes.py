"""The sizes of images before they are resized."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmark.storage.json_files import misfit, sealed, unsealed

_FILE = "sizes.json"
_SHAPE = {"smallest": [int], "largest": [int]}

#: Width and height in pixels.
Size = tuple[int, int]


@dataclass(frozen=True)
class Sizes:
    """The images with the fewest and with the most pixels among some images."""

    smallest: Size
    largest: Size

    def __str__(self) -> str:
        ends = dict.fromkeys(f"{width}x{height}" for width, height in (self.smallest, self.largest))
        return " to ".join(ends)


def sizes_of(sizes: Iterable[Size]) -> Sizes | None:
    """The sizes of images; None without images."""
    listed = sorted(set(sizes), key=lambda size: (size[0] * size[1], size))
    return Sizes(listed[0], listed[-1]) if listed else None


def joined(parts: Iterable[Sizes | None]) -> Sizes | None:
    """The sizes of all parts together; None if no part has any."""
    return sizes_of(size for part in parts if part for size in (part.smallest, part.largest))


def write_sizes(folder: Path, sizes: Sizes | None) -> None:
    """Keep the sizes of the images of a store in the folder where it is being made.

    Raises:
        OSError: the file cannot be written.
    """
    if sizes:
        (folder / _FILE).write_bytes(sealed(json.dumps(asdict(sizes))))


def read_sizes(folder: Path) -> Sizes | None:
    """The sizes that `write_sizes` kept; None if they are missing or damaged."""
    try:
        content = unsealed((folder / _FILE).read_bytes())
    except OSError:
        return None
    if content is None or content.keys() != _SHAPE.keys() or misfit(content, _SHAPE) is not None:
        return None
    smallest, largest = tuple(content["smallest"]), tuple(content["largest"])
    return Sizes(smallest, largest) if len(smallest) == len(largest) == 2 else None
