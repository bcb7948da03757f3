"""Images that are in two splits of a task, or of two tasks, with the same pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.images.labelled import LabelledImages
from benchmark.images.store import Store
from benchmark.streams.left_out import some
from benchmark.streams.split import Split
from methods.names import printable

# Images that are read before their RAM is freed.
_CHUNK = 256
_FILE = "digests"


@dataclass(frozen=True)
class Decoded:
    """A split, and its decoded images."""

    split: Split
    data: LabelledImages

    @cached_property
    def digests(self) -> NDArray[np.uint64]:
        return image_digests(self.data)

    def name(self, position: int) -> tuple[str, str]:
        """The task and the name of an image."""
        return self.split.task, self.split.describe(position)


@dataclass(frozen=True)
class DecodedTask:
    """The decoded splits of a task.

    Attributes:
        splits_itself: whether the validation images are some of the training images as given.
    """

    train: Decoded
    validation: Decoded
    test: Decoded
    splits_itself: bool

    @property
    def seen(self) -> tuple[Decoded, Decoded]:
        """The images that are learned from or chosen by."""
        return self.train, self.validation

    def notes(self) -> Iterator[str]:
        """A line for each split that must not be learned from and has images that are."""
        yield from duplicate_note(self.test, self.seen, "training or validation")
        if not self.splits_itself:
            yield from duplicate_note(self.validation, (self.train,), "training")


def duplicate_note(held: Decoded, seen: Sequence[Decoded], called: str) -> Iterator[str]:
    """A line that says how many images of `held` are also in `seen`, with an example; none if there are none.

    Args:
        held: a split that must not be learned from.
        seen: the splits that are learned from.
        called: the name of the images of `seen` in the message.
    """
    if not len(held.data):
        return
    number = np.isin(held.digests, np.concatenate([other.digests for other in seen]))
    count = int(number.sum())
    if count:
        here, there = _example(held, number, seen)
        yield printable(
            f"task '{held.split.task}': {count} of its {len(held.data)} {held.split.name} images "
            f"{'has' if count == 1 else 'have'} the same pixels as {called} images ({here[1]} and {there[1]})"
        )


def across_tasks_notes(tasks: Sequence[DecodedTask]) -> Iterator[str]:
    """A line about the test images of a task that are training or validation images of another; none without any."""
    tested = [(number, task.test) for number, task in enumerate(tasks) if len(task.test.data)]
    if not tested or len(tasks) < 2:
        return
    seen = [np.concatenate([split.digests for split in task.seen]) for task in tasks]
    owners = _Owners(seen)
    parts, example = [], ""
    for number, test in tested:
        shared = owners.others_have(test.digests, number)
        if shared.any():
            parts.append(f"{int(shared.sum())} of {len(shared)} of '{test.split.task}'")
            others = [split for task in (*tasks[:number], *tasks[number + 1 :]) for split in task.seen]
            example = example or " and ".join(f"{image} of '{name}'" for name, image in _example(test, shared, others))
    if parts:
        yield printable(
            "test images with the same pixels as training or validation images of another task: "
            f"{some(parts)} ({example})"
        )


class _Owners:
    """Which tasks have an image among those that are learned from.

    Args:
        seen: the hashes of each task's images.
    """

    def __init__(self, seen: Sequence[NDArray[np.uint64]]):
        every = np.concatenate(seen)
        owners = np.repeat(np.arange(len(seen)), [len(digests) for digests in seen])
        # Of one hash, the tasks are in order too: the first and the last tell whether there are several.
        order = np.argsort(every, kind="stable")
        self._digests, first, count = np.unique(every[order], return_index=True, return_counts=True)
        self._first, self._last = owners[order][first], owners[order][first + count - 1]

    def others_have(self, digests: NDArray[np.uint64], task: int) -> NDArray[np.bool_]:
        """Whether each image is one of a task other than `task`."""
        if not len(self._digests):
            return np.zeros(len(digests), dtype=bool)
        place = np.searchsorted(self._digests, digests).clip(max=len(self._digests) - 1)
        known = self._digests[place] == digests
        return known & ((self._first[place] != task) | (self._last[place] != task))


def _example(
    held: Decoded, number: NDArray[np.bool_], seen: Sequence[Decoded]
) -> tuple[tuple[str, str], tuple[str, str]]:
    """The first of the chosen images of a split, and the same image in another split: each its task and its name."""
    here = int(np.flatnonzero(number)[0])
    for other in seen:
        same = np.flatnonzero(other.digests == held.digests[here])
        if len(same):
            return held.name(here), other.name(int(same[0]))
    raise ValueError("no split has the image")


def image_digests(data: LabelledImages) -> NDArray[np.uint64]:
    """A hash of each image's pixels. It has 64 bits: by chance two of a million are equal in one of 10^7 cases.

    The hashes of a store are kept beside it, so its images need not be read again for them.
    """
    if data.store is None:
        return _computed(data)
    known = _read(data.store)
    if known is None:
        known = _computed(data)
        # If they cannot be kept, the next run computes them again.
        with suppress(OSError):
            _file(data.store).write_bytes(_checksum(data.store, known.tobytes()) + known.tobytes())
    return known


def _computed(data: LabelledImages) -> NDArray[np.uint64]:
    digests = []
    for chunk in data.images.split(_CHUNK):
        pixels = chunk.permute(0, 2, 3, 1).contiguous().numpy()
        digests += [hashlib.blake2b(image, digest_size=8).digest() for image in pixels]
        data.release()
    return np.frombuffer(b"".join(digests), dtype="<u8")


def _file(store: Store) -> Path:
    return store.folder / _FILE


def _read(store: Store) -> NDArray[np.uint64] | None:
    """The kept hashes; None if they are missing, damaged or of other images."""
    try:
        content = _file(store).read_bytes()
    except OSError:
        return None
    size = hashlib.sha256().digest_size
    if len(content) != size + 8 * store.about.images or content[:size] != _checksum(store, content[size:]):
        return None
    return np.frombuffer(content[size:], dtype="<u8")


def _checksum(store: Store, digests: bytes) -> bytes:
    return hashlib.sha256(store.about.sha256.encode() + digests).digest()
