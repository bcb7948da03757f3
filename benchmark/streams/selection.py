"""The choice of a task's images and their splits: pure functions of labels and a source of randomness.

Labels are int64 [N]. The functions return positions in them, in ascending order.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def generator(task: str, purpose: str) -> np.random.RandomState:
    """Randomness that depends on the task's name and the purpose only, so that all runs see the same data."""
    digest = hashlib.sha256(f"{purpose}\n{task}".encode()).digest()
    # NumPy promises never to change RandomState's numbers; those of newer generators may change with the version.
    return np.random.RandomState(np.frombuffer(digest, dtype="<u4"))


def balanced(labels: Integers, count: int, random: np.random.RandomState) -> Integers:
    """`count` positions, the same number of each class; a class with too few gives all it has.

    A larger `count` with the same randomness contains the smaller one's choice.
    """
    members = _shuffled_members(labels, random)
    # The remainder of an uneven division goes to the classes that come first here.
    priority = random.permutation(len(members))
    quota = dict.fromkeys(priority, 0)
    left = min(count, len(labels))
    while left:
        unfilled = [position for position in priority if quota[position] < len(members[position])]
        share = max(1, left // len(unfilled))
        for position in unfilled[:left]:
            added = min(share, len(members[position]) - quota[position])
            quota[position] += added
            left -= added
    return np.sort(np.concatenate([members[position][:n] for position, n in quota.items()]))


def at_most(count: int, labels: Integers, random: np.random.RandomState) -> Integers:
    """`count` positions of every class; a class with fewer gives all it has."""
    nothing = np.empty(0, dtype=np.int64)
    return np.sort(np.concatenate([nothing, *(members[:count] for members in _shuffled_members(labels, random))]))


def hold_out_per_class(labels: Integers, share: float, random: np.random.RandomState) -> tuple[Integers, Integers]:
    """Split into (kept, held out): a rounded share of every class is held out, at least one image."""
    held = [m[: max(1, round(share * len(m)))] for m in _shuffled_members(labels, random)]
    return _complement(len(labels), np.concatenate(held))


def hold_out_evenly(percent: int, labels: Integers, random: np.random.RandomState) -> tuple[Integers, Integers]:
    """Split into (kept, held out): images at even distances, counted class after class.

    Of N images percent/100 N are held out, rounded up, and likewise at most of each class. So a class of two or more
    keeps at least one if not more than half are held out.
    """
    held = np.arange(-(-len(labels) * percent // 100)) * 100 // max(percent, 1)
    return _complement(len(labels), np.concatenate(_shuffled_members(labels, random))[held])


def _shuffled_members(labels: Integers, random: np.random.RandomState) -> list[Integers]:
    return [random.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]


def _complement(count: int, held: Integers) -> tuple[Integers, Integers]:
    return np.setdiff1d(np.arange(count), held), np.sort(held)
