"""Samples of past tasks in what a method keeps, and the choice of those that stay when the room is limited."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from methods.method import REPLAY

_UNITS = {"": None, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


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

    def capacity(self, sample_bytes: int) -> int:
        """How many samples of `sample_bytes` bytes fit; at least one."""
        if self.images is not None:
            return self.images
        assert self.bytes is not None
        return max(1, self.bytes // sample_bytes)


DEFAULT_MEMORY = MemorySize(images=500)


def samples_of(task: int, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """A task's samples as they are stored: pixels as they are, label and task number in two bytes each."""
    tasks = torch.full_like(labels, task, dtype=torch.int16)
    return {"images": images, "labels": labels.to(torch.int16), "tasks": tasks}


def append(kept: dict[str, Tensor], samples: dict[str, Tensor], stay: Tensor | None = None) -> None:
    """Store samples behind those that a method keeps, on the device of the new ones.

    Args:
        kept: the method's `kept`, whose entries replay.* have a row per stored sample; replaced here.
        samples: name after "replay." -> rows of the new samples.
        stay: int64, the rows that are kept of those stored; all of them if None.
    """
    for name, new in samples.items():
        old = kept.get(REPLAY + name, new[:0])
        old = old if stay is None else old[stay.to(old.device)]
        kept[REPLAY + name] = torch.cat([old.to(new.device), new])


def draw(kept: dict[str, Tensor], count: int, generator: torch.Generator) -> dict[str, Tensor]:
    """`count` stored samples at random, with replacement: name after "replay." -> rows."""
    stored = {name.removeprefix(REPLAY): rows for name, rows in kept.items() if name.startswith(REPLAY)}
    chosen = torch.randint(len(stored["labels"]), (count,), generator=generator)
    chosen = chosen.to(stored["labels"].device, non_blocking=True)
    return {name: rows[chosen] for name, rows in stored.items()}


def reservoir_step(
    seen: int, held: int, count: int, capacity: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Reservoir sampling (Vitter, 1985) of `count` new samples at once, so that what is stored stays a uniform sample.

    Args:
        seen: samples offered before; `held` of them, a uniform sample, are stored.
        capacity: how many may be stored from now on; not more than before.

    Returns:
        which of the stored samples stay, and which of the new ones enter: int64, ascending.
    """
    sample = torch.randperm(seen + count, generator=generator)[:capacity]
    enter = sample[sample >= seen] - seen
    # How many of the old ones belong to the sample is known now; any so many of the stored ones will do.
    stay = torch.randperm(held, generator=generator)[: len(sample) - len(enter)]
    return stay.sort().values, enter.sort().values
