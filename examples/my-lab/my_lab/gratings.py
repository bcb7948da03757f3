"""Striped pictures: a stream of any length that needs no data."""

from __future__ import annotations

import numpy as np

from benchmark.images.source import ArrayImages
from benchmark.streams.source import RawTask, StreamSource

#: Height and width of a picture, in pixels.
SIZE = 32

#: Size of the patch of stripes, in pixels, and of the noise, in 255 levels (both standard deviations).
PATCH, NOISE = 4, 60

#: Number of pictures per class, for training and for testing.
TRAIN, TEST = 40, 20


class Gratings(StreamSource):
    """A patch of stripes in noise: the class is their direction; each task has a width and two colours of its own.

    Args:
        tasks: how many.
        classes: directions in a task, evenly spread over half a turn.
    """

    default_image_size = SIZE

    def __init__(self, tasks: int = 5, classes: int = 4):
        if tasks < 1:
            raise ValueError(f"tasks={tasks} must be at least 1")
        if classes < 2:
            raise ValueError(f"classes={classes} must be at least 2")
        self.tasks = tasks
        self.classes = classes

    def raw_tasks(self, limit: int | None) -> list[RawTask]:
        count = self.tasks if limit is None else min(limit, self.tasks)
        names = tuple(f"{180 * label / self.classes:g} degrees" for label in range(self.classes))
        return [
            RawTask(f"gratings-{task}", names, *(paint(task, split, self.classes) for split in (TRAIN, TEST)))
            for task in range(1, count + 1)
        ]


def paint(task: int, per_class: int, classes: int) -> ArrayImages:
    """The pictures of one split of a task, `per_class` of each class, with the classes taking turns.

    The same arguments give the same pictures: a task looks the same in every run, and in both its splits.
    """
    # NumPy's policy freezes RandomState's streams; its newer generators may change with its version.
    look = np.random.RandomState(task)
    period, dark, light = look.uniform(4, 12), look.uniform(0, 90, 3), look.uniform(140, 255, 3)

    draws = np.random.RandomState([task, per_class])
    labels = np.arange(classes * per_class) % classes
    count = len(labels)
    turn = draws.uniform(-0.3, 0.3, (count, 1, 1))
    phase = draws.uniform(0, 2 * np.pi, (count, 1, 1))
    left, top = draws.uniform(8, SIZE - 8, (2, count, 1, 1))
    angle = np.pi * (labels[:, None, None] + turn) / classes

    y, x = np.mgrid[:SIZE, :SIZE]
    wave = np.sin(2 * np.pi / period * (x * np.cos(angle) + y * np.sin(angle)) + phase)
    patch = np.exp(-((x - left) ** 2 + (y - top) ** 2) / (2 * PATCH**2))
    strength = (wave * patch)[..., None] / 2 + 0.5
    pixels = dark + strength * (light - dark) + draws.normal(0, NOISE, (count, SIZE, SIZE, 3))
    return ArrayImages(pixels.clip(0, 255).astype(np.uint8), labels.tolist())
