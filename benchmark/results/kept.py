"""The answers that a run has kept, put beside the right ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from benchmark.results import answers
from benchmark.results.answers import Marked
from benchmark.results.schema import CLASS_COLUMNS
from benchmark.storage.answers import Reference, answered_as, read_answers, references
from benchmark.storage.folder import RunFolder
from benchmark.storage.labels import TaskLabels, read_labels
from benchmark.storage.manifest import Manifest
from benchmark.storage.records import CellKey, Record, Records

#: Place of a task in its order, from 1 -> the answers to its test images; None where they are not kept.
ByTask: TypeAlias = Mapping[int, Marked | None]

#: Of cells, what they answered after the last task that they learned.
LastAnswers: TypeAlias = Mapping[CellKey, ByTask]


class KeptAnswers:
    """The answers of a run; files are read when they are needed.

    Args:
        run: its folder.
        manifest: its manifest.
        records: those of its cells.
    """

    def __init__(self, run: RunFolder, manifest: Manifest, records: Mapping[CellKey, Records]):
        self._run = run
        self._manifest = manifest
        self._records = records
        self._labels = cache(lambda task: read_labels(run.path, task))

    def last(self) -> LastAnswers:
        """What each cell answered after the last task that it learned."""
        return {key: self._reader(key)(after[-1]) for key, after in self._records.items() if after}

    def recounted(self) -> dict[CellKey, Records]:
        """The records, with the accuracy of all answers that are kept counted again."""
        return {key: self._recounted(key, after) for key, after in self._records.items()}

    def _recounted(self, key: CellKey, after: Records) -> Records:
        read, counted = self._reader(key), cache(lambda marked: marked.accuracy)

        def entry(old: dict[str, Any], found: Marked | None) -> dict[str, Any]:
            return old if found is None else {**old, "accuracy": counted(found)}

        recounted = []
        for record in after:
            marked = read(record)
            recounted.append({**record, "evaluated": [entry(old, marked[old["task"]]) for old in record["evaluated"]]})
        return recounted

    def _reader(self, key: CellKey) -> Callable[[Record], ByTask]:
        """Return what reads the answers to which a record of a cell refers. It reads each file once."""
        folder, after = self._run.cell(*key), self._records[key]
        # A comparison has cells of several scenarios.
        compete = bool(after) and answered_as(after[-1]) == "class"
        read = cache(lambda learned: read_answers(folder, after[learned - 1]))

        @cache
        def mark(place: int, reference: Reference) -> Marked | None:
            given, truth = read(reference.learned).get(reference.name), self._truth(key, place)
            if given is None or truth is None or len(given) != len(truth.labels):
                return None
            if not compete:
                return Marked(given, truth)
            widths = [self._manifest.tasks[task - 1]["classes"] for task in self._manifest.orders[key[2]]]
            return Marked(given, truth, sum(widths[: place - 1]), sum(widths))

        def by_task(record: Record) -> ByTask:
            places, kept = [entry["task"] for entry in record["evaluated"]], references(record)
            return {place: mark(place, kept[place]) if place in kept else None for place in places}

        return by_task

    def _truth(self, key: CellKey, place: int) -> TaskLabels | None:
        """The right answers to the task at a place in the order of a cell, from 1; None if they are not kept."""
        task = self._manifest.orders[key[2]][place - 1]
        found = self._labels(task)
        return found if found and found.fingerprint == self._manifest.tasks[task - 1]["fingerprint"] else None


def class_table(last: LastAnswers, manifest: Manifest) -> pd.DataFrame:
    """The columns of classes.csv: how well each class is recognised after the last task learned."""
    rows = [
        {
            "method": method,
            "seed": seed,
            "order": order,
            "task": place,
            "task_name": manifest.tasks[manifest.orders[order][place - 1] - 1]["task_name"],
            **row,
        }
        for (method, seed, order), tasks in last.items()
        for place, marked in tasks.items()
        if marked
        for row in _class_rows(marked, tasks)
    ]
    return pd.DataFrame(rows, columns=list(CLASS_COLUMNS))


def _class_rows(marked: Marked, tasks: ByTask) -> list[dict[str, Any]]:
    """The rows of a task's classes. Where classes of all tasks compete, their images count for the precision."""
    confusion = marked.confusion
    if marked.competing is not None:
        confusion = np.sum([each.confusion for each in tasks.values() if each], axis=0)
    numbers = (confusion.sum(axis=1), answers.recall(confusion), answers.precision(confusion), answers.f1(confusion))
    own = slice(marked.first, marked.first + len(marked.truth.classes))
    columns = zip(marked.truth.classes, *(each[own] for each in numbers), strict=True)
    return [
        {"class": label, "class_name": name, "images": images, "recall": recall, "precision": precision, "f1": f1}
        for label, (name, images, recall, precision, f1) in enumerate(columns)
    ]
