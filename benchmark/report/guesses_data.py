"""The data for the part of report.html that shows for which task images of each task were taken."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmark.results.inference import Counts
from benchmark.results.questions import JOINT, rule_of
from benchmark.results.run import Results
from benchmark.storage.records import CellKey
from methods.names import printable


def guesses_data(results: Results) -> dict[str, Any] | None:
    """What the script needs to show which tasks were guessed; None if no task was guessed.

    Of each method the first repetition is shown that was asked.

    Returns:
        `tasks`: the names of the stream's tasks. `methods`: for each its label, its repetition in words, and its
        `ways`: the `name` of each rule, and `counts`, a row for each task of the stream: how many of its test images
        were taken for each task; null for a task without images.
    """
    methods: dict[str, dict[str, Any]] = {}
    for (label, name), of_cells in results.guesses.items():
        key = next(iter(of_cells))
        way = {"name": rule_of(name) or JOINT[name], "counts": _in_stream(results, key, of_cells[key])}
        shown = {"label": printable(label), "repetition": results.manifest.repetition(key), "ways": []}
        methods.setdefault(label, shown)["ways"].append(way)
    if not methods:
        return None
    names = [printable(task["task_name"]) for task in results.manifest.tasks]
    order = {label: place for place, label in enumerate(results.manifest.labels)}
    return {"tasks": names, "methods": [methods[label] for label in sorted(methods, key=order.__getitem__)]}


def _in_stream(results: Results, key: CellKey, confusion: Counts) -> list[list[int] | None]:
    """The counts with tasks in the order of the stream, not of the cell."""
    places = np.argsort(results.manifest.orders[key[2]])
    counts = confusion[np.ix_(places, places)]
    return [row.tolist() if row.any() else None for row in counts]
