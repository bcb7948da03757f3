"""Counts the operations of a task's steps. Only steps that may differ from others are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from fractions import Fraction

from benchmark.learning.clock import Clock
from methods.network import Network

# Which tensors are trained, and how many images pass through the network for each image of the minibatch.
_Kind = tuple[frozenset[str], Fraction]


class StepCounts:
    """The floating-point operations of a task's steps.

    A counted step takes longer. So one step stands for all steps of its kind. Two steps are of one kind if they train
    the same tensors and pass the same number of images through the network per image of the minibatch.
    The first step of each epoch is counted. While a kind has steps but none of them is counted, every step is counted.
    The last minibatch of an epoch may be smaller. If its kind is not known, it has the kind of the step before it.

    Args:
        clock: gets the time of each epoch, in which counted steps take as long as the others.

    Attributes:
        operations: the sum over all epochs that have ended.
    """

    def __init__(self, clock: Clock) -> None:
        self.operations = 0
        self._clock = clock
        # Operations per image of a minibatch, and the number of images that are not in `operations` yet.
        self._per_image: dict[_Kind, float] = {}
        self._images: Counter[_Kind] = Counter()
        # Operations of an epoch in which these tensors are trained.
        self._of_epoch: dict[frozenset[str], int] = {}
        self._trained: frozenset[str] = frozenset()
        # The image count and the kind of this epoch's first step, and the kind of the last step.
        self._size = 0
        self._first: _Kind | None = None
        self._kind: _Kind | None = None
        # The number of images of each kind of step in this epoch.
        self._made: Counter[_Kind] = Counter()

    def begin_epoch(self, trained: frozenset[str]) -> bool:
        """Begin an epoch that trains these tensors; return whether an earlier epoch did too."""
        self._trained, self._size = trained, 0
        self._made.clear()
        self._clock.begin_epoch()
        return trained in self._of_epoch

    def make(self, step: Callable[[], None], network: Network, images: int, stands_for: int) -> None:
        """Do a step.

        Args:
            step: does the step.
            network: the network that the images pass through.
            images: number of images in the minibatch.
            stands_for: number of images to count; more than `images` if the step stands for steps that are left out.
        """
        first = not self._size
        self._size = self._size or images
        counted = first or (images == self._size and any(kind not in self._per_image for kind in self._images))
        before = network.passed
        if counted:
            with self._clock.aside(images), self._clock.counting() as counter:
                step()
        else:
            step()
        kind = self._trained, Fraction(network.passed - before, images)
        self._made[kind] += images
        if counted:
            self._per_image[kind] = counter.get_total_flops() / images
        elif images != self._size and self._kind and kind not in self._per_image | self._images:
            kind = self._kind
        if first:
            self._first = kind
        self._kind = kind
        self._images[kind] += stands_for

    def end_epoch(self) -> None:
        """End an epoch. Without steps, it costs the same as the last epoch that trained the same tensors."""
        if self._size:
            self._clock.end_epoch(self._made.total(), self._kind_of_epoch())
            known = {kind: count for kind, count in self._images.items() if kind in self._per_image}
            self._of_epoch[self._trained] = round(sum(self._per_image[kind] * n for kind, n in known.items()))
            # Unknown kinds are counted in the next epoch.
            self._images -= Counter(known)
        self.operations += self._of_epoch[self._trained]

    def _kind_of_epoch(self) -> Hashable:
        """Return what the work of the epoch's steps depends on, as far as it is known."""
        operations = self._per_image[self._first] if self._first else 0.0
        return operations, frozenset(self._made.items())

    def end(self) -> None:
        """End the last epoch. Steps of an unknown kind cost the same as the first step of the last epoch."""
        if self._first:
            self.operations += round(self._per_image[self._first] * self._images.total())
            self._images.clear()
