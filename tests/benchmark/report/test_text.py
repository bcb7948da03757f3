"""Text for a terminal."""

from __future__ import annotations

from benchmark.report.text import aligned


def test_columns_are_as_wide_as_their_widest_cell():
    rows = [("a", "10", "x y"), ("long", "7", "z")]
    assert aligned(rows) == ["a     10  x y", "long  7   z"]
    assert aligned(rows, right={1}) == ["a     10  x y", "long   7  z"]


def test_lines_do_not_end_with_spaces():
    assert aligned([("a", ""), ("b", "c")]) == ["a", "b  c"]
