"""The answers that a run has kept, and the tables of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from benchmark.results import answers
from benchmark.results.answers import Marked
from benchmark.results.cell_answers import ByTask, CellAnswers
from benchmark.results.costs import mean
from benchmark.results.epochs import epoch_table
from benchmark.results.questions import asked
from benchmark.results.schema import CLASS_COLUMNS
from benchmark.storage.answers import DERIVED
from benchmark.storage.folder import RunFolder
from benchmark.storage.labels import TaskLabels, read_labels
from benchmark.storage.manifest import Manifest
from benchmark.storage.records import CellKey, Records

#: Of cells, what they answered after the last task that they learned.
LastAnswers: TypeAlias = Mapping[CellKey, ByTask]

#: The same for all answers of the cells, by their names; results/questions.py says what the names mean.
AllLastAnswers: TypeAlias = Mapping[CellKey, Mapping[str, ByTask]]

#: Of cells, for each task that they learned the mean training loss of each epoch.
Losses: TypeAlias = Mapping[CellKey, Sequence[Sequence[float]]]


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
        self._labels = cache(self._read_labels)
        self._asked = cache(lambda label: asked(manifest, label))

    @property
    def labels(self) -> dict[int, TaskLabels | None]:
        """The right answers to the test images of each task, by its number in the stream; None if they are not kept."""
        return {number: self._labels(number) for number in range(1, len(self._manifest.tasks) + 1)}

    def _read_labels(self, task: int) -> TaskLabels | None:
        found = read_labels(self._run.path, task)
        return found if found and found.fingerprint == self._manifest.tasks[task - 1]["fingerprint"] else None

    @property
    def losses(self) -> Losses:
        """The losses of each cell that has learned a task."""
        return {key: [record.get("losses", []) for record in after] for key, after in self._records.items() if after}

    def last(self) -> AllLastAnswers:
        """What each cell answered after the last task that it learned."""
        cells = ((key, self._cell(key)) for key, after in self._records.items() if after)
        return {key: {name: cell.after(cell.records[-1], name) for name in cell.asked.all} for key, cell in cells}

    def epochs(self) -> pd.DataFrame:
        """How long each task was learned; see epoch_table."""
        return epoch_table(self._records, self._manifest)

    def recounted(self) -> dict[CellKey, Records]:
        """The records, with the accuracy of all answers that are kept counted again."""
        return {key: self._recounted(key, after) for key, after in self._records.items()}

    def _recounted(self, key: CellKey, after: Records) -> Records:
        cell, counted = self._cell(key), cache(lambda marked: marked.accuracy)

        def entry(old: dict[str, Any], found: Marked | None) -> dict[str, Any]:
            return old if found is None else {**old, "accuracy": counted(found)}

        recounted = []
        for record in after:
            marked = cell.after(record, cell.asked.own)
            recounted.append({**record, "evaluated": [entry(old, marked[old["task"]]) for old in record["evaluated"]]})
        return recounted

    def accuracies_of_others(self) -> Iterator[tuple[CellKey, str, int, dict[str, Any]]]:
        """The accuracies of all answers but each method's own.

        Yields:
            The cell, the name of the answers, how many tasks were learned, and an entry with the `task`, its `accuracy`
            and its `images`.
        """
        for key in self._records:
            # The files of a cell are forgotten before those of the next are read.
            cell = self._cell(key)
            for name in cell.asked.all:
                if name != cell.asked.own:
                    yield from ((key, name, learned, entry) for learned, entry in _counted(cell, name))

    def costs_of_inference(self) -> pd.DataFrame:
        """What answers cost for which a rule guesses the task: a row for each method and rule.

        Columns: method, rule, and the means over the cells that finished.
        """
        rows: dict[tuple[str, str], list[dict[str, float]]] = {}
        for key, after in self._records.items():
            if len(after) < len(self._manifest.tasks) or not self._asked(key[0]).rules:
                continue
            cell = self._cell(key)
            files = [cell.inferred(record["learned"]) for record in after]
            order = self._manifest.orders[key[2]]
            for rule, costs in (files[-1].costs if files[-1] else {}).items():
                rows.setdefault((key[0], rule), []).append(
                    {
                        "kept_bytes": costs["bytes"],
                        "inference_flops_per_image": costs["flops_per_image"],
                        "bare": self._manifest.tasks[order[-1] - 1]["backbone_inference_flops"],
                        # If a file is missing, the sum of the others would be too small.
                        "evaluations": sum(file.evaluations if file else math.nan for file in files),
                        "frozen_evaluations": sum(file.frozen_evaluations if file else math.nan for file in files),
                    }
                )
        table = [
            {"method": method, "rule": rule, **{name: mean(cell[name] for cell in cells) for name in cells[0]}}
            for (method, rule), cells in rows.items()
        ]
        return pd.DataFrame(table)

    def _cell(self, key: CellKey) -> CellAnswers:
        tasks, order = self._manifest.tasks, self._manifest.orders[key[2]]
        widths = [tasks[task - 1].get("classes", 0) for task in order]

        def truth(place: int) -> TaskLabels | None:
            return self._labels(order[place - 1])

        return CellAnswers(self._run.cell(*key), self._records[key], self._asked(key[0]), widths, truth)


def _counted(cell: CellAnswers, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    counted = cache(lambda marked: marked.accuracy)
    for record in cell.records:
        marked = cell.after(record, name)
        for entry in record["evaluated"]:
            found = marked.get(entry["task"])
            accuracy = counted(found) if found else entry.get(DERIVED) if name == DERIVED else None
            if accuracy is not None:
                yield record["learned"], {"task": entry["task"], "accuracy": accuracy, "images": entry["images"]}


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
