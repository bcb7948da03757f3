"""Random streams, each derived from the run's seed and what it is for."""

from __future__ import annotations

import hashlib


def derive(seed: int, *purpose: str | int) -> int:
    """A seed for one purpose: `derive(0, 3, "order")` is the data order of task 3.

    The data order and the initial heads name no method, so that methods are compared on the same ones.
    """
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
