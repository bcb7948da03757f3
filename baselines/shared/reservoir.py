"""Samples of past tasks in what a method keeps, and the choice of those that stay when the room is limited."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.memory import MemorySize
from methods.method import REPLAY

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
