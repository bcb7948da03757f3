"""The data for the part of report.html that shows answers: confusions, and the surest mistakes.

It counts the answers and does not hold them, so that the page stays small: 53 tasks and 16 methods add about half a
megabyte, and at most 1.7 MB of pictures.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmark.report.surest import pictured, shown_repetitions, surest_mistakes
from benchmark.results.answers import Marked
from benchmark.results.run import Results
from benchmark.storage.labels import TaskLabels
from benchmark.storage.records import CellKey
from benchmark.storage.thumbnails import read_thumbnails
from methods.names import printable

# Kinds of mistakes, a class taken for another one: in the whole page, and the fewest of a method and task.
_KINDS, _FEWEST = 20_000, 20


def answers_data(results: Results) -> dict[str, Any] | None:
    """What the script needs to show a method's answers to a task; None if no answers are kept.

    Of each method the first repetition that has answers is shown. Of each method and task there are as many kinds of
    mistakes as the size of the page allows, the most frequent first.

    Returns:
        `tasks`: for each task of the stream its name, its `classes`, how many test `images` each has, and, if the run's
        folder has some, small `pictures` of images: JPEG files in Base64.
        `methods`: for each its label, its repetition in words, and for each of these tasks, in the stream's order,
        None or: `right`, how many images of each class were answered right; `mistakes`, [class,
        answer, how often]; `others`, how many more kinds of mistakes there are; `surest`, of the mistakes with the
        highest confidence [file or number of the image, class, answer, confidence] and, where there is one, the place
        of its picture. Where the classes of all tasks compete, a method has the `names` of the answers, and a task the
        answer `first` that means its first class.
    """
    shown = shown_repetitions(results)
    if not shown:
        return None
    tasks = len(results.manifest.tasks)
    most = max(_FEWEST, _KINDS // (tasks * len(shown)))
    in_order = {label: _in_stream(results, key) for label, key in shown.items()}
    pictures = _pictures(results)
    return {
        "tasks": [
            _shape(task["task_name"], of_task, own)
            for task, own, *of_task in zip(results.manifest.tasks, pictures, *in_order.values(), strict=True)
        ],
        "methods": [
            {
                "label": printable(label),
                "repetition": results.manifest.repetition(shown[label]),
                **_names(results, shown[label]),
                "tasks": [
                    _task(marked, most, [*own]) if marked else None
                    for marked, own in zip(in_stream, pictures, strict=True)
                ],
            }
            for label, in_stream in in_order.items()
        ],
    }


def _in_stream(results: Results, key: CellKey) -> list[Marked | None]:
    """The last answers of a cell, in the order of the stream."""
    order = results.manifest.orders[key[2]]
    place_of = {task: place for place, task in enumerate(order, 1)}
    return [results.answers[key].get(place_of[task]) for task in range(1, len(order) + 1)]


def _names(results: Results, key: CellKey) -> dict[str, list[str]]:
    """The names of the classes among which a cell answered, in its order; nothing if those of each task are apart."""
    marked = results.answers[key]
    if all(each is None or each.competing is None for each in marked.values()):
        return {}
    names: list[str] = []
    for place, task in enumerate(results.manifest.orders[key[2]], 1):
        each, count = marked.get(place), results.manifest.tasks[task - 1]["classes"]
        names += map(printable, each.truth.classes) if each else [f"class {k}" for k in range(1, count + 1)]
    return {"names": names}


def _pictures(results: Results) -> list[Mapping[int, bytes]]:
    """The pictures for each task of the stream: place among its test images -> the content of a JPEG file."""
    kept, asked = read_thumbnails(results.path), pictured(results)
    tasks = range(1, len(results.manifest.tasks) + 1)
    return [{k: kept[task][k] for k in asked.get(task, ()) if k in kept.get(task, {})} for task in tasks]


def _shape(task: str, of_methods: Sequence[Marked | None], pictures: Mapping[int, bytes]) -> dict[str, Any]:
    truth = next((marked.truth for marked in of_methods if marked), None)
    if truth is None:
        return {"name": printable(task), "classes": [], "images": []}
    images = np.bincount(truth.labels, minlength=len(truth.classes)).tolist()
    return {
        "name": printable(task),
        "classes": [printable(name) for name in truth.classes],
        "images": images,
        **({"pictures": [base64.b64encode(own).decode("ascii") for own in pictures.values()]} if pictures else {}),
    }


def _task(marked: Marked, most: int, pictures: list[int]) -> dict[str, Any]:
    """What a method answered to a task; of these images there are pictures."""
    given, labels = marked.answers.classes, marked.truth.labels
    wrong = np.flatnonzero(~marked.right)
    kinds = Counter(zip(labels[wrong].tolist(), given[wrong].tolist(), strict=True))
    # The most frequent first, and of equal ones the first classes.
    ranked = sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))
    return {
        **({} if marked.competing is None else {"first": marked.first}),
        "right": np.bincount(labels[marked.right], minlength=len(marked.truth.classes)).tolist(),
        "mistakes": [[label, answer, often] for (label, answer), often in ranked[:most]],
        "others": max(0, len(ranked) - most),
        "surest": [
            [
                _image(marked.truth, k),
                int(labels[k]),
                int(given[k]),
                _share(marked.answers.confidence[k]),
                *([pictures.index(k)] if k in pictures else []),
            ]
            for k in surest_mistakes(marked).tolist()
        ],
    }


def _image(truth: TaskLabels, k: int) -> str:
    """The name of an image: its file, or else its place among the test images, from 1."""
    return printable(truth.files[k]) if truth.files else f"image {k + 1}"


def _share(confidence: float) -> float | None:
    return round(float(confidence), 4) if np.isfinite(confidence) else None
