"""Text for a terminal."""

from __future__ import annotations

from benchmark.report.text import aligned


def test_columns_are_as_wide_as_their_widest_cell():
    rows = [("a", "10", "x y"), ("long", "7", "z")]
    assert aligned(rows) == ["a     10  x y", "long  7   z"]
    assert aligned(rows, right={1}) == ["a     10  x y", "long   7  z"]


def test_lines_do_not_end_with_spaces():
    assert aligned([("a", ""), ("b", "c")]) == ["a", "b  c"]


def test_a_character_that_takes_two_columns_counts_as_two():
    """The second column begins at the same place on the screen: after 8 columns and two spaces."""
    rows = [("中文鳥鳥", "1"), ("🐦", "22"), ("e\u0301tude", "3")]
    assert aligned(rows) == ["中文鳥鳥  1", "🐦        22", "e\u0301tude     3"]
    assert aligned(rows, right={0}) == ["中文鳥鳥  1", "      🐦  22", "   e\u0301tude  3"]
