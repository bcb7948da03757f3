"""What the page knows of guessed tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.report.figures import draw_figures
from benchmark.report.guesses_data import guesses_data
from benchmark.report.page import write_page
from benchmark.results.run import Results, collect
from benchmark.storage.folder import RunFolder
from benchmark.storage.inferred import inferred_path


def results(run: Any) -> Results:
    folder = run.manifest()
    return collect(folder, folder.read_manifest())


def test_by_hand(class_run: Any) -> None:
    assert guesses_data(results(class_run)) == {
        "tasks": ["task A", "task B"],
        "methods": [
            {
                "label": "er",
                "repetition": "seed 0",
                "ways": [{"name": "joint softmax", "counts": [[2, 2], [2, 6]]}],
            },
            {
                "label": "clr",
                "repetition": "seed 0",
                "ways": [
                    {"name": "centres", "counts": [[2, 2], [2, 6]]},
                    {"name": "energy", "counts": [[4, 0], [0, 8]]},
                ],
            },
        ],
    }


def test_tasks_are_in_the_order_of_the_stream(answers_run: Any, tmp_path: Path) -> None:
    """The task A is learned as the second one; two of three images of B are taken for one of B, one for one of A."""
    run = answers_run(tmp_path / "run", "task", [[0, 1], [0, 1, 2]], [2, 3], ["energy"], [[1, 2], [2, 1]])
    own = {"task": [[[0, 1, 2]], [[0, 1, 2], [0, 1]]]}
    run.cell(("clr", 3, 1), own, {"energy": [[[0, 1, 2]], [[0, 1, 3], [3, 4]]]})
    found = guesses_data(results(run))
    assert found is not None
    (method,) = found["methods"]
    assert method["repetition"] == "seed 3, order 1"
    assert method["ways"] == [{"name": "energy", "counts": [[2, 0], [1, 2]]}]


def test_where_tasks_are_known_there_is_nothing(answers_run: Any, tmp_path: Path) -> None:
    run = answers_run(tmp_path / "run", "task", [[0, 1], [0, 1]], [2, 2])
    run.cell(("clr", 0, 0), {"task": [[[0, 1]], [[0, 1], [0, 0]]]})
    found = results(run)
    assert guesses_data(found) is None
    text = write_page(found).read_text()
    assert 'id="guesses"' not in text
    assert 'id="oracle"' not in text


def test_the_page_has_the_sections(class_run: Any) -> None:
    text = write_page(results(class_run)).read_text()
    assert 'href="#guesses"' in text
    assert 'href="#oracle"' in text
    assert '<option value="1">clr</option>' in text
    assert "two on mini, scenario class" in text
    assert "clr answers through task inference (centres)." in text
    assert 'href="inference.csv"' in text


def test_a_page_is_made_where_answers_are_missing(class_run: Any) -> None:
    inferred_path(RunFolder(class_run.folder).cell("clr", 0, 0), 1).unlink()
    found = results(class_run)
    assert draw_figures(found, found.path / "figures")
    assert '"label":"clr"' in write_page(found).read_text()


def test_many_tasks_methods_and_rules_stay_small(class_run: Any) -> None:
    found = results(class_run)
    random = np.random.default_rng(0)
    counts = np.diag(np.full(53, 200)) + random.integers(2, size=(53, 53))
    labels = [f"method-{k}" for k in range(16)]
    manifest = type(found.manifest)(
        {
            **found.manifest,
            "tasks": [{"task_name": f"task {k}"} for k in range(53)],
            "orders": [list(range(1, 54))],
            "cells": [{"method": label, "seed": 0, "order": 0} for label in labels],
        }
    )
    guesses = {(label, f"inferred:{k}"): {(label, 0, 0): counts} for label in labels for k in range(6)}
    data = guesses_data(type(found)(**{**vars(found), "manifest": manifest, "guesses": guesses}))
    assert len(json.dumps(data, separators=(",", ":"))) < 600_000
