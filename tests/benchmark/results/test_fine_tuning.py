"""Over whose seconds those of all methods are given, and what a reader is told of it."""

from __future__ import annotations

import pytest

from benchmark.results.fine_tuning import time_unit

ABSENT = "Times have no ratio, since sgd is not among the methods."


@pytest.mark.parametrize(
    ("labels", "unit", "note"),
    [
        (["clr", "sgd"], "sgd", ""),
        (["clr", "sgd:lr=0.1"], "sgd:lr=0.1", "Times are over those of sgd:lr=0.1."),
        (["sgd:lr=0.1", "clr", "sgd"], "sgd", ""),
        (
            ["sgd:lr=0.1", "clr", "sgd:epochs=4"],
            "sgd:lr=0.1",
            "Times are over those of sgd:lr=0.1, one of sgd:lr=0.1, sgd:epochs=4.",
        ),
        # As `compare` marks what was trained otherwise.
        (["clr", "sgd (epochs=16)"], "sgd (epochs=16)", "Times are over those of sgd (epochs=16)."),
        (["sgd:lr=1 (b)", "clr"], "sgd:lr=1 (b)", "Times are over those of sgd:lr=1 (b)."),
        # Others whose names begin alike.
        (["clr", "sgd-ll", "sgd-ll:lr=0.1", "mysgd"], None, ABSENT),
        (["clr"], None, ABSENT),
    ],
)
def test_the_row_of_fine_tuning_is_found_by_its_name(labels, unit, note):
    found = time_unit(labels, labels, comparable=True)
    assert (found.label, found.note) == (unit, note)


def test_what_has_no_seconds_is_not_taken():
    labels = ["sgd", "sgd:lr=0.1", "clr"]
    assert time_unit(labels, {"sgd:lr=0.1", "clr"}, comparable=True).label == "sgd:lr=0.1"
    nothing = time_unit(labels, {"clr"}, comparable=True)
    assert (nothing.label, nothing.note) == (None, "Times have no ratio, since sgd did not finish.")


def test_different_hardware_has_no_ratio():
    found = time_unit(["sgd", "clr"], ["sgd", "clr"], comparable=False)
    assert (found.label, found.note) == (
        None,
        "Times have no ratio, since they were measured on different hardware.",
    )
