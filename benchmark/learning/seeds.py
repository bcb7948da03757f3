"""Random streams, each derived from the run's seed and what it is for."""

from __future__ import annotations

import hashlib
import json

#: What the seeds follow from. A run does not go on with other random numbers than it began with.
RULE = "seed, task name, purpose"


def derive(seed: int, *purpose: str | int) -> int:
    """A seed for one purpose: `derive(0, "digits", "order")` is the data order of the task called digits.

    The data order and the initial heads name no method, so that methods are compared on the same ones. They name no
    place in the stream, so that a task is the same in every order. Different arguments give different seeds, whatever
    characters a task's name has.
    """
    text = json.dumps([seed, *purpose])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
