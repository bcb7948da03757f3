"""The seconds of a task's training."""

from __future__ import annotations

import statistics
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from benchmark.learning.compilation import uncompiled
from benchmark.learning.counter import OperationCounter


@dataclass(frozen=True)
class TrainingSeconds:
    """How long the training of a task takes, when nothing disturbs it.

    Attributes:
        training: the work around the epochs, and each epoch as the fastest of its kind.
        spread: how much longer the training takes if each epoch counts as the median of its kind; None if no kind has
            two epochs.
        epochs: of each epoch as it was.
    """

    training: float
    spread: float | None
    epochs: list[float]


class Clock:
    """Measures the seconds of a task's training; it starts when it is made.

    Time is wall-clock time, because a GPU's work takes no time of the process. What belongs to the measurement
    is left out: counting operations, and messages about progress. So is what happens once in a process: the
    first pass through a network loads kernels and makes plans. So an epoch counts as the fastest epoch of its kind.
    Some of its steps are put aside: the first one, and those that are counted. For each of their images they take as
    long as the other steps, but no longer than they did, without the counting: the others may have few images each, and
    a small step takes longer for an image. If there are no others, they take as long as they did.

    Args:
        device: the device that computes. A GPU is waited for whenever the clock is read.
    """

    def __init__(self, device: torch.device):
        self._device = device
        self._around = 0.0
        self._epochs: list[tuple[Hashable, float]] = []
        self._plain = 0.0
        self._aside = 0.0
        self._images_aside = 0
        self._within_epoch = False
        self._last = self._now()

    def begin_epoch(self) -> None:
        """Begin the steps of an epoch."""
        self._around += self._lap()
        self._within_epoch = True
        self._plain = self._aside = 0.0
        self._images_aside = 0

    @contextmanager
    def aside(self, images: int) -> Iterator[None]:
        """Put a step of the epoch aside.

        Args:
            images: the number of images in its minibatch.
        """
        self._plain += self._lap()
        yield
        self._aside += self._lap()
        self._images_aside += images

    def end_epoch(self, images: int, kind: Hashable) -> None:
        """End the steps of an epoch.

        Args:
            images: the number of images in its minibatches.
            kind: epochs of one kind do the same work.
        """
        self._plain += self._lap()
        self._within_epoch = False
        others = images - self._images_aside
        seconds = self._plain + self._aside
        if others:
            seconds = min(seconds, self._plain * images / others)
        self._epochs.append((kind, seconds))

    @contextmanager
    def counting(self) -> Iterator[OperationCounter]:
        """Count operations, uncompiled so that every operation is seen, and leave out the time that counting takes."""
        with OperationCounter() as counter, uncompiled():
            yield counter
        self._last += counter.seconds

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Leave out the time of a block, between steps or outside of epochs."""
        lap = self._lap()
        if self._within_epoch:
            self._plain += lap
        else:
            self._around += lap
        yield
        self._lap()

    def read(self) -> TrainingSeconds:
        """Return the seconds since the clock was made."""
        self._around += self._lap()
        epochs = [seconds for _, seconds in self._epochs]
        alike: dict[Hashable, list[float]] = {}
        for kind, seconds in self._epochs:
            alike.setdefault(kind, []).append(seconds)
        fastest = sum(len(own) * min(own) for own in alike.values())
        median = sum(len(own) * statistics.median(own) for own in alike.values())
        repeated = any(len(own) > 1 for own in alike.values())
        return TrainingSeconds(self._around + fastest, median - fastest if repeated else None, epochs)

    def _lap(self) -> float:
        before, self._last = self._last, self._now()
        return self._last - before

    def _now(self) -> float:
        wait_for(self._device)
        return time.perf_counter()


def wait_for(device: torch.device) -> None:
    """Wait for what a GPU still computes."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
