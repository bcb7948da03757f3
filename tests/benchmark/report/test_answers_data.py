"""What the page knows of answers: confusions and the surest mistakes, in a bounded size."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.report import answers_data as module
from benchmark.report.answers_data import answers_data
from benchmark.report.page import write_page
from benchmark.results.answers import Marked
from benchmark.results.run import Results
from benchmark.storage.answers import Answers
from benchmark.storage.labels import TaskLabels
from benchmark.storage.thumbnails import write_thumbnails


def marked(labels: list[int], given: list[int], sure: list[float], files: tuple[str, ...] = ()) -> Marked:
    answers = Answers(np.array(given), np.array(sure, dtype=np.float32))
    return Marked(answers, TaskLabels("t", "f", ("cat", "<dog>", "cow"), np.array(labels), files))


PETS = marked([0, 0, 1, 1, 2, 0], [1, 1, 1, 0, 2, 0], [0.5, 0.9, 1.0, 0.75, 0.4, 0.8], tuple("abcdef"))


@pytest.fixture
def run(make_run: Callable[..., Results]) -> Results:
    """`sgd` has no answers to the second task, and `er` none at all."""
    run = make_run(["clr", "sgd", "er"], ["pets", "cars"], seeds=2)
    right = marked([0, 1], [0, 1], [1.0, 1.0])
    answers = {("clr", 0, 0): {1: PETS, 2: right}, ("clr", 1, 0): {1: right, 2: right}}
    return replace(run, answers={**answers, ("sgd", 1, 0): {1: right, 2: None}, ("er", 0, 0): {1: None, 2: None}})


def test_by_hand(run: Results) -> None:
    found = answers_data(run)
    assert found is not None
    assert found["tasks"] == [
        {"name": "pets", "classes": ["cat", "<dog>", "cow"], "images": [3, 2, 1]},
        {"name": "cars", "classes": ["cat", "<dog>", "cow"], "images": [1, 1, 0]},
    ]
    assert [(own["label"], own["repetition"]) for own in found["methods"]] == [("clr", "seed 0"), ("sgd", "seed 1")]
    assert found["methods"][0]["tasks"] == [
        {
            "right": [1, 1, 1],
            "mistakes": [[0, 1, 2], [1, 0, 1]],
            "others": 0,
            "surest": [["b", 0, 1, 0.9], ["d", 1, 0, 0.75], ["a", 0, 1, 0.5]],
        },
        {"right": [1, 1, 0], "mistakes": [], "others": 0, "surest": []},
    ]
    assert found["methods"][1]["tasks"][1] is None


def test_classes_of_all_tasks_compete(make_run: Callable[..., Results]) -> None:
    """In the second task, which has the answers 3, 4 and 5, a car is taken for a dog of the first task."""
    truth = TaskLabels("t", "f", ("car", "van", "bus"), np.array([0, 0, 2]), ())
    answers = Answers(np.array([3, 1, 5]), np.array([0.5, 0.75, 1.0], dtype=np.float32))
    first, second = replace(PETS, competing=6), Marked(answers, truth, first=3, competing=6)
    run = make_run(["er"], ["pets", "cars"])
    run.manifest["tasks"][0]["classes"] = run.manifest["tasks"][1]["classes"] = 3
    found = answers_data(replace(run, answers={("er", 0, 0): {1: first, 2: second}}))
    assert found is not None
    (method,) = found["methods"]
    assert method["names"] == ["cat", "<dog>", "cow", "car", "van", "bus"]
    assert [task["first"] for task in method["tasks"]] == [0, 3]
    assert found["tasks"][1] == {"name": "cars", "classes": ["car", "van", "bus"], "images": [2, 0, 1]}
    assert method["tasks"][1] == {
        "first": 3,
        "right": [1, 0, 1],
        "mistakes": [[0, 1, 1]],
        "others": 0,
        "surest": [["image 2", 0, 1, 0.75]],
    }


def test_without_answers_there_is_no_section(make_run: Callable[..., Results], tmp_path) -> None:
    run = replace(make_run(["clr"], ["pets"]), path=tmp_path)
    assert answers_data(run) is None
    assert 'id="answers"' not in write_page(run).read_text()


def test_an_order_is_that_of_the_stream(run: Results) -> None:
    manifest = type(run.manifest)({**run.manifest, "orders": [[1, 2], [2, 1]]})
    answers = {("clr", 3, 1): {1: marked([0], [1], [float("nan")]), 2: PETS}}
    found = answers_data(replace(run, manifest=manifest, answers=answers))
    assert found is not None
    (own,) = found["methods"]
    assert own["repetition"] == "seed 3, order 1"
    assert own["tasks"][0]["right"] == [1, 1, 1]
    assert own["tasks"][1]["surest"] == [["image 1", 0, 1, None]]


def test_pictures_that_the_folder_has_are_in_the_page(run: Results, tmp_path: Path) -> None:
    """Of image 0 there is none, and image 5 is not listed."""
    write_thumbnails(tmp_path, {1: {1: b"one", 3: b"three", 5: b"five"}, 2: {0: b"right"}, 7: {0: b"no such task"}})
    found = answers_data(replace(run, path=tmp_path))
    assert found is not None
    assert found["tasks"][0]["pictures"] == ["b25l", "dGhyZWU="]
    assert "pictures" not in found["tasks"][1]
    surest = found["methods"][0]["tasks"][0]["surest"]
    assert surest == [["b", 0, 1, 0.9, 0], ["d", 1, 0, 0.75, 1], ["a", 0, 1, 0.5]]


def test_rare_mistakes_are_left_out_where_there_are_many(run: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KINDS", 0)
    monkeypatch.setattr(module, "_FEWEST", 1)
    found = answers_data(run)
    assert found is not None
    first = found["methods"][0]["tasks"][0]
    assert (first["mistakes"], first["others"]) == ([[0, 1, 2]], 1)


def test_many_tasks_and_methods_stay_small(make_run: Callable[..., Results]) -> None:
    random = np.random.default_rng(0)
    labels, given = random.integers(20, size=(2, 256))
    truth = TaskLabels(
        "t", "f", tuple(f"class {k}" for k in range(20)), labels, tuple(f"test/{k:012}.jpg" for k in labels)
    )
    wrong = Marked(Answers(given, random.uniform(size=256).astype(np.float32)), truth)
    run = make_run([f"method-{k}" for k in range(16)], [f"task-{k}" for k in range(53)])
    run = replace(run, answers={(label, 0, 0): dict.fromkeys(range(1, 54), wrong) for label in run.manifest.labels})
    assert len(json.dumps(answers_data(run), separators=(",", ":"))) < 600_000


def test_the_page_lets_choose_a_method_and_a_task(run: Results, tmp_path) -> None:
    text = write_page(replace(run, path=tmp_path)).read_text()
    assert 'href="#answers"' in text
    assert text.count("<option") == 4
    assert "<dog>" not in text, "names are other people's text"
