"""How many operations the steps of a task take, of which only those are counted that may differ from others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction

from benchmark.learning.compilation import uncompiled
from benchmark.learning.operations import OperationCounter
from methods.network import Network

# Which tensors are trained, and how many images pass through the network for each of the minibatch.
_Kind = tuple[frozenset[str], Fraction]


class StepCounts:
    """The floating-point operations of a task's steps.

    A step takes about half as long again while it is counted. So one step stands for all of its kind: steps are of one
    kind if they train the same tensors, and pass as many images through the network for each image of the minibatch.
    Counted are the first step of each epoch, and, as long as steps of a kind were made of which none is counted, every
    step. The last minibatch of an epoch may be smaller, and counts as the one before if its own kind is not known.

    Attributes:
        operations: of all epochs that have ended.
    """

    def __init__(self) -> None:
        self.operations = 0
        # Operations for each image of a minibatch, and the images of steps that are not in `operations` yet.
        self._per_image: dict[_Kind, float] = {}
        self._images: Counter[_Kind] = Counter()
        # Operations of an epoch in which these tensors are trained.
        self._of_epoch: dict[frozenset[str], int] = {}
        self._trained: frozenset[str] = frozenset()
        # Of this epoch's first step: how many images, and its kind; and the kind of the step before.
        self._size = 0
        self._first: _Kind | None = None
        self._kind: _Kind | None = None

    def begin_epoch(self, trained: frozenset[str]) -> bool:
        """An epoch begins in which these tensors are trained; whether there was one before."""
        self._trained, self._size = trained, 0
        return trained in self._of_epoch

    def make(self, step: Callable[[], None], network: Network, images: int, stands_for: int) -> None:
        """Make a step.

        Args:
            step: makes it.
            network: through which images pass.
            images: in the minibatch.
            stands_for: of how many images the step is; more than `images` where others are not made.
        """
        first = not self._size
        self._size = self._size or images
        counted = first or (images == self._size and any(kind not in self._per_image for kind in self._images))
        before = network.passed
        if counted:
            with OperationCounter() as counter, uncompiled():
                step()
        else:
            step()
        kind = self._trained, Fraction(network.passed - before, images)
        if counted:
            self._per_image[kind] = counter.get_total_flops() / images
        elif images != self._size and self._kind and kind not in self._per_image | self._images:
            kind = self._kind
        if first:
            self._first = kind
        self._kind = kind
        self._images[kind] += stands_for

    def end_epoch(self) -> None:
        """An epoch ends; one without a step costs as the one before that trained the same tensors."""
        if self._size:
            known = {kind: count for kind, count in self._images.items() if kind in self._per_image}
            self._of_epoch[self._trained] = round(sum(self._per_image[kind] * n for kind, n in known.items()))
            # What is not known is counted in the next epoch.
            self._images -= Counter(known)
        self.operations += self._of_epoch[self._trained]

    def end(self) -> None:
        """There are no more epochs: steps of which none was counted are taken for such as began the last epoch."""
        if self._first:
            self.operations += round(self._per_image[self._first] * self._images.total())
            self._images.clear()
