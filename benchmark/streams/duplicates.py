"""Images that are in two splits of a task, with the same pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.images.labelled import LabelledImages
from benchmark.images.store import Store
from benchmark.streams.split import Split
from methods.names import printable

# Images that are read before their RAM is freed.
_CHUNK = 256
_FILE = "digests"

#: A split, and its decoded images.
Decoded = tuple[Split, LabelledImages]


def duplicate_note(held: Decoded, seen: Sequence[Decoded], called: str) -> str | None:
    """A line that says how many images of `held` are also in `seen`, with an example; None if there are none.

    Args:
        held: a split that must not be learned from.
        seen: the splits that are learned from.
        called: the name of the images of `seen` in the message.
    """
    split, data = held
    if not len(data):
        return None
    digests = image_digests(data)
    number, example = np.zeros(len(digests), dtype=bool), ""
    for other, images in seen:
        theirs = image_digests(images)
        same = np.isin(digests, theirs)
        if same.any() and not example:
            here = int(np.flatnonzero(same)[0])
            there = int(np.flatnonzero(theirs == digests[here])[0])
            example = f"{split.describe(here)} and {other.describe(there)}"
        number |= same
    if not example:
        return None
    count = int(number.sum())
    return printable(
        f"task '{split.task}': {count} of its {len(data)} {split.name} images {'has' if count == 1 else 'have'} the "
        f"same pixels as {called} images ({example})"
    )


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
