"""Seeds of random streams, each derived from the run's seed and a purpose."""

from __future__ import annotations

import hashlib
import json

#: What the seeds depend on. A run is not resumed with a different rule, because its random numbers would change.
RULE = "seed, task name, purpose"


def derive(seed: int, *purpose: str | int) -> int:
    """Return the seed for one purpose: `derive(0, "digits", "order")` gives the data order of the task "digits".

    The seeds of the data order and of new heads do not depend on the method, so that all methods get the same ones.
    They do not depend on the place in the stream, so that a task is the same in every order. Different arguments give
    different seeds, with any characters in a task's name.
    """
    text = json.dumps([seed, *purpose])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
