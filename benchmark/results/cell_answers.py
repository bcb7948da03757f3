"""The answers that a cell has kept, put beside the right ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from benchmark.results.answers import Marked, places_of
from benchmark.results.questions import Asked, rule_of
from benchmark.storage.answers import DERIVED, Answers, Reference, read_answers
from benchmark.storage.inferred import Inferred, read_inferred
from benchmark.storage.labels import TaskLabels
from benchmark.storage.records import Record, Records

#: Place of a task in its order, from 1 -> the answers to its test images; None where they are not kept.
ByTask: TypeAlias = Mapping[int, Marked | None]


class CellAnswers:
    """The answers of a cell. Each file is read once, when it is needed.

    Args:
        folder: the cell's.
        records: those of its tasks.
        asked: what its method was asked.
        widths: the number of classes of each task, in its order.
        truth: place of a task in its order -> the right answers; None if they are not kept.
    """

    def __init__(
        self,
        folder: Path,
        records: Records,
        asked: Asked,
        widths: Sequence[int],
        truth: Callable[[int], TaskLabels | None],
    ):
        self.asked = asked
        self.records = records
        self._widths = widths
        self._starts = [0, *accumulate(widths)]
        self._truth = truth
        self._given = cache(lambda learned: read_answers(folder, records[learned - 1]))
        self.inferred: Callable[[int], Inferred | None] = cache(lambda learned: read_inferred(folder, learned))
        self._own = cache(self._of_reference)

    def after(self, record: Record, name: str) -> ByTask:
        """The answers of one name that were given after the task of a record, to each task so far."""
        if rule := rule_of(name):
            return self._by_rule(record, rule)
        references = {entry["task"]: entry.get("answers", {}).get(name) for entry in record["evaluated"]}
        return {place: self._own(place, text, name) if text else None for place, text in references.items()}

    def _of_reference(self, place: int, text: str, name: str) -> Marked | None:
        reference = Reference.parse(text)
        given = self._given(reference.learned).get(reference.name)
        if name == "class":
            return self._among_columns(place, given)
        if name == DERIVED and given is not None:
            given = Answers(given.classes - self._starts[place - 1], given.confidence)
        return self._marked(place, given)

    def _by_rule(self, record: Record, rule: str) -> ByTask:
        inferred = self.inferred(record["learned"])
        places = [entry["task"] for entry in record["evaluated"] if entry["task"] <= record["learned"]]
        known = inferred.answers if inferred else {}
        return {place: self._among_columns(place, known.get((place, rule))) for place in places}

    def _among_columns(self, place: int, given: Answers | None) -> Marked | None:
        """Mark answers that are columns among the classes of all tasks."""
        if given is None:
            return None
        tasks = places_of(given.classes, self._widths)
        if self.asked.scenario == "domain":
            # Which of the domains is guessed does not matter: all have the same classes.
            return self._marked(place, Answers(given.classes % self._widths[0], given.confidence), tasks=tasks)
        return self._marked(place, given, self._starts[place - 1], self._starts[-1], tasks)

    def _marked(
        self,
        place: int,
        given: Answers | None,
        first: int = 0,
        competing: int | None = None,
        tasks: npt.NDArray[np.int64] | None = None,
    ) -> Marked | None:
        truth = self._truth(place)
        if given is None or truth is None or len(given) != len(truth.labels):
            return None
        return Marked(given, truth, first, competing, tasks)
