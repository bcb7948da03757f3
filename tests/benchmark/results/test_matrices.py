"""The accuracy matrices of a run, from the rows of its accuracy.csv."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmark.results.matrices import accuracy_matrices, drawn_runs, repetitions_of

NAN = np.nan
COLUMNS = ["method", "seed", "order", "learned", "task", "accuracy"]
ROWS = [
    *[("clr", 0, 0, 1, 1, 0.9), ("clr", 0, 0, 2, 1, 0.6), ("clr", 0, 0, 2, 2, 0.8)],
    *[("clr", 0, 1, 1, 1, 0.7), ("clr", 0, 1, 2, 1, 0.5), ("clr", 0, 1, 2, 2, 0.4)],
    *[("clr", 5, 1, 1, 1, 0.3)],
    *[("er", 0, 0, 1, 1, 0.1)],
]


def matrices(rows=ROWS, methods=("er", "clr", "ewc")):
    return accuracy_matrices(pd.DataFrame(rows, columns=COLUMNS), methods, tasks=2)


def test_each_seed_and_order_of_each_method_has_a_matrix():
    built = matrices()
    assert {method: list(own) for method, own in built.items()} == {
        "er": [(0, 0)],
        "clr": [(0, 0), (0, 1), (5, 1)],
        "ewc": [],
    }
    expected = [[[0.9, NAN], [0.6, 0.8]], [[0.7, NAN], [0.5, 0.4]], [[0.3, NAN], [NAN, NAN]]]
    np.testing.assert_array_equal(list(built["clr"].values()), expected)
    np.testing.assert_array_equal(built["er"][0, 0], [[0.1, NAN], [NAN, NAN]])


def test_the_repetitions_are_those_of_any_method():
    assert repetitions_of(matrices()) == {(0, 0), (0, 1), (5, 1)}
    assert repetitions_of(matrices([])) == set()


def test_what_is_drawn_is_the_mean_of_the_repetitions_that_got_furthest():
    er, clr = drawn_runs(matrices())
    assert (er.label, er.learned, er.repetitions) == ("er (1 of 2 tasks)", 1, 1)
    assert (clr.label, clr.learned, clr.repetitions) == ("clr", 2, 2)
    # There are two seeds and two orders; of as many of both a block is an order, and each has one that finished.
    np.testing.assert_allclose(clr.matrices, [[[0.9, NAN], [0.6, 0.8]], [[0.7, NAN], [0.5, 0.4]]])


def test_what_is_drawn_ends_where_answers_are_missing():
    """After the first task, all answers of `er` are missing, and after the second one those of `clr` to one task."""
    rows = [("er", 0, 0, 2, 1, 0.6), ("er", 0, 0, 2, 2, 0.8), ("clr", 0, 0, 1, 1, 0.9), ("clr", 0, 0, 2, 2, 0.8)]
    (clr,) = drawn_runs(matrices(rows))
    assert (clr.label, clr.learned) == ("clr (1 of 2 tasks)", 1)
