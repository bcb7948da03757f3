"""How much a method may store of past tasks."""

from __future__ import annotations

import re
from dataclasses import dataclass

_UNITS = {"": None, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


@dataclass(frozen=True)
class MemorySize:
    """The capacity of a replay memory, in images or in bytes; exactly one of the two is set.

    An option of this type says that a method has such a memory: it is what --equal-memory sets.
    """

    images: int | None = None
    bytes: int | None = None

    @classmethod
    def parse(cls, text: str) -> MemorySize:
        """`500` is 500 images, `10MB` ten million bytes. Raises ValueError for anything else."""
        match = re.fullmatch(r"(\d+)([KMG]?B)?", text.strip(), re.IGNORECASE)
        if match is None or int(match[1]) < 1:
            raise ValueError("is not a memory size; write a number of images (500) or of bytes (10MB)")
        unit = _UNITS[(match[2] or "").upper()]
        return cls(images=int(match[1])) if unit is None else cls(bytes=int(match[1]) * unit)

    def __str__(self) -> str:
        return str(self.images) if self.images is not None else f"{self.bytes}B"

    def capacity(self, sample_bytes: int) -> int:
        """How many samples of `sample_bytes` bytes fit; at least one."""
        if self.images is not None:
            return self.images
        assert self.bytes is not None
        return max(1, self.bytes // sample_bytes)
