"""What records mean as points of curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark.storage.records import read_records
from benchmark.trackers.base import lessons, settings_of, tables_and_figures

KEY = ("clr", 0, 0)


def test_lessons_by_hand(learning: Any) -> None:
    """Epochs are counted through the tasks; what trackers refuse in a name is replaced."""
    for number in (1, 2):
        learning.learn(KEY, number)
    first, second = lessons(read_records(learning.run.cell(*KEY)), tasks=10)
    assert (first.learned, list(first.epochs), first.losses) == (1, [1, 2], [1.5, 1.25])
    assert first.accuracies == {"average_accuracy": 3 / 8, "accuracy/01 fungi": 3 / 8}
    assert (second.learned, list(second.epochs), second.losses) == (2, [3, 4], [0.5, 0.25])
    assert second.accuracies == {
        "average_accuracy": 5 / 8,
        "accuracy/01 fungi": 4 / 8,
        "accuracy/02 sign_ digits": 6 / 8,
    }


def test_settings_are_those_of_the_cell(learning: Any) -> None:
    manifest = learning.manifest
    assert settings_of(manifest, manifest["cells"][1]) == {
        "epochs": 2,
        "stream": "tiny",
        "method": "er:memory=10",
        "seed": 0,
        "order": 0,
    }


def test_tables_and_figures_are_found(learning: Any) -> None:
    learning.end()
    (learning.run.path / "manifest.json").write_text("{}")
    tables, figures = tables_and_figures(learning.run.path)
    assert [path.name for path in tables] == ["summary.csv", "summary.md"]
    assert figures == [Path(learning.run.path, "figures", "average_accuracy.png")]
