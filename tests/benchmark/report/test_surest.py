"""The surest mistakes, and which of them have a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from benchmark.report import surest as module
from benchmark.report.surest import pictured, surest_mistakes
from benchmark.results.answers import Marked
from benchmark.results.run import Results
from benchmark.storage.answers import Answers
from benchmark.storage.labels import TaskLabels


def wrong(*sure: float) -> Marked:
    """All answers are wrong but those with the confidence 0."""
    given = np.array([int(each > 0) for each in sure])
    truth = TaskLabels("t", "f", ("cat", "dog"), np.zeros(len(sure), dtype=np.int64), ())
    return Marked(Answers(given, np.array(sure, dtype=np.float32)), truth)


def test_the_surest_come_first_and_right_answers_are_none() -> None:
    marked = wrong(0.1, 0.9, 0.0, 0.9, 0.3, 0.2, 0.6, 0.05)
    assert surest_mistakes(marked).tolist() == [1, 3, 6, 4, 5]
    assert surest_mistakes(wrong(0, 0)).tolist() == []


@pytest.fixture
def run(make_run: Callable[..., Results]) -> Results:
    """The second order is 2, 1, and only seed 1 of `er` has answers. `clr` has learned one task."""
    run = make_run(["clr", "er"], ["pets", "cars"], seeds=2)
    manifest = type(run.manifest)({**run.manifest, "orders": [[1, 2], [2, 1]]})
    answers = {
        ("clr", 0, 0): {1: wrong(0, 0.2, 0.3)},
        ("clr", 1, 1): {1: wrong(0.9, 0.9), 2: wrong(0.9, 0.9)},
        ("er", 0, 0): {1: None, 2: None},
        ("er", 1, 1): {1: wrong(0.4, 0.5, 0), 2: wrong(0, 0.1, 0)},
    }
    return replace(run, manifest=manifest, answers=answers)


def test_tasks_are_those_of_the_stream_and_each_image_counts_once(run: Results) -> None:
    """Of the first repetitions: `clr` mistook the images 1 and 2 of task 1, and `er` image 1, and two of task 2."""
    assert pictured(run) == {1: [1, 2], 2: [0, 1]}


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (0, {}),
        # The surest mistake of `clr`, then that of `er` to its first task, which is task 2, then that to task 1.
        (1, {1: [2]}),
        (2, {1: [2], 2: [1]}),
        (3, {1: [1, 2], 2: [1]}),
        (4, {1: [1, 2], 2: [0, 1]}),
    ],
)
def test_the_surest_of_each_list_come_first_where_there_are_many(
    run: Results, monkeypatch: pytest.MonkeyPatch, limit: int, expected: dict[int, list[int]]
) -> None:
    monkeypatch.setattr(module, "_PICTURES", limit)
    assert pictured(run) == expected


def test_a_run_without_answers_has_no_pictures(make_run: Callable[..., Results]) -> None:
    assert pictured(make_run(["clr"], ["pets"])) == {}
