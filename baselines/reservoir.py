"""A uniform sample of everything seen, of fixed size."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from methods.method import REPLAY

_UNITS = {"": None, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
# Beside its pixels, a sample's label and task number are stored as int16 each.
_BYTES_BESIDE_PIXELS = 4


@dataclass(frozen=True)
class MemorySize:
    """The capacity of a replay memory, in images or in bytes; exactly one of the two is set."""

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

    def capacity(self, image_bytes: int) -> int:
        """How many samples of `image_bytes` bytes of pixels fit; at least one."""
        if self.images is not None:
            return self.images
        assert self.bytes is not None
        return max(1, self.bytes // (image_bytes + _BYTES_BESIDE_PIXELS))


class Reservoir:
    """Reservoir sampling (Vitter, 1985, algorithm R) over all samples offered, stored in what a method keeps.

    Args:
        kept: the method's `kept`; its entries replay.images (uint8 [M, 3, S, S]), replay.labels and replay.tasks
            (int16 [M]) and seen (int64 scalar, samples offered so far) are read and replaced here.
        size: the capacity.
        generator: random numbers, on the CPU.
    """

    def __init__(self, kept: dict[str, Tensor], size: MemorySize, generator: torch.Generator):
        self.kept = kept
        self.size = size
        self.generator = generator

    def draw(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """`count` stored samples at random, with replacement: images, labels (int64) and task numbers (int64)."""
        stored = self.kept[REPLAY + "images"]
        chosen = torch.randint(len(stored), (count,), generator=self.generator).to(stored.device)
        labels, tasks = self.kept[REPLAY + "labels"], self.kept[REPLAY + "tasks"]
        images = stored[chosen].contiguous(memory_format=torch.channels_last)
        return images, labels[chosen].long(), tasks[chosen].long()

    def offer(self, data: Any, task: int) -> None:
        """Offer every sample of `data` (images, labels) once; afterwards the memory is uniform over all offered."""
        device = self.kept[REPLAY + "images"].device if self.kept else data.images.device
        new = {
            "images": data.images,
            "labels": data.labels.to(torch.int16),
            "tasks": torch.full_like(data.labels, task, dtype=torch.int16),
        }
        old = {key: self.kept[REPLAY + key].to(value.device) for key, value in new.items()} if self.kept else {}
        seen = int(self.kept["seen"]) if self.kept else 0
        held = len(old["images"]) if old else 0
        # The k-th sample ever offered takes slot k while there is room; after that a random one of k slots, if that
        # slot exists. Of several that take the same slot the last one stays.
        number = np.arange(seen, seen + len(data.labels))
        capacity = self.size.capacity(data.images[0].nbytes)
        uniform = torch.rand(len(number), generator=self.generator, dtype=torch.float64).numpy()
        slot = np.where(number < capacity, number, np.floor(uniform * (number + 1)).astype(np.int64))
        taken = slot < capacity
        source = np.full(min(capacity, seen + len(number)), -1)
        source[slot[taken]] = np.flatnonzero(taken)
        replaced = torch.from_numpy(np.flatnonzero(source >= 0))
        chosen = torch.from_numpy(source[source >= 0])
        for key, value in new.items():
            merged = value.new_empty((len(source), *value.shape[1:]))
            if old:
                merged[:held] = old[key]
            merged[replaced] = value[chosen]
            self.kept[REPLAY + key] = merged.to(device)
        self.kept["seen"] = torch.tensor(seen + len(number))
