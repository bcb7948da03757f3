"""The surest mistakes, which the page lists, and which of their images it shows as small pictures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmark.results.answers import Marked
from benchmark.results.run import Results
from benchmark.storage.records import CellKey

# Of each method and task.
_SUREST = 5
# In the whole page. A picture takes about 1.1 kB of it.
_PICTURES = 1_500


def shown_repetitions(results: Results) -> dict[str, CellKey]:
    """The cell of each method whose answers the page shows: label -> the first repetition that has answers."""
    shown: dict[str, CellKey] = {}
    for key, marked in results.answers.items():
        if any(marked.values()):
            shown.setdefault(key[0], key)
    return shown


def surest_mistakes(marked: Marked) -> npt.NDArray[np.int64]:
    """The images with the surest wrong answers, the surest first: int64 [at most 5], places among the test images."""
    wrong = np.flatnonzero(~marked.right)
    # Confidences that are not numbers come last.
    return wrong[np.argsort(-marked.answers.confidence[wrong], kind="stable")][:_SUREST]


def pictured(results: Results) -> dict[int, list[int]]:
    """The images of which the page shows a small picture: number of the task in the stream -> places, ascending.

    They are as many of the listed ones as the size of the page allows: the surest mistake of each method and task comes
    first, then the second of each, and so on. An image that several methods mistook counts once.
    """
    lists = []
    for key in shown_repetitions(results).values():
        order = results.manifest.orders[key[2]]
        lists += [(order[place - 1], surest_mistakes(own)) for place, own in results.answers[key].items() if own]
    by_rank = [(task, int(listed[rank])) for rank in range(_SUREST) for task, listed in lists if rank < len(listed)]
    chosen: dict[int, list[int]] = {}
    for task, image in sorted(list(dict.fromkeys(by_rank))[:_PICTURES]):
        chosen.setdefault(task, []).append(image)
    return chosen
