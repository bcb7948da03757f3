"""What is answered where a rule guesses the task: the answer of the guessed task's network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from benchmark.storage.answers import Answers


def surest(given: Sequence[Answers], rule: str) -> npt.NDArray[np.int64]:
    """Return the task whose network is surest of each image, int64 [N], from 1; of equally sure ones the first.

    Args:
        given: what the network of each task answers, and how sure it is by that rule, [tasks].
        rule: one of SURENESS.
    """
    sureness = np.stack([answers.sureness[rule] for answers in given])
    return np.nan_to_num(sureness, nan=-np.inf).argmax(axis=0) + 1


def in_columns_of(given: Sequence[Answers], widths: Sequence[int], places: npt.NDArray[np.int64]) -> Answers:
    """Return the answers of the guessed tasks' networks, as columns among the classes of all tasks.

    Args:
        given: what the network of each task answers, [tasks].
        widths: the class count of each task.
        places: the guessed task of each image, int64 [N], from 1.
    """
    chosen, image = places - 1, np.arange(len(places))
    firsts = np.cumsum([0, *widths])
    classes = np.stack([answers.classes for answers in given])[chosen, image]
    confidence = np.stack([answers.confidence for answers in given])[chosen, image]
    return Answers(firsts[chosen] + classes, confidence)
