from __future__ import annotations

from collections.abc import Callable

import pytest

from performance import avalanche_strategies


def test_each_pair_is_compared_on_both_later_tasks(tables: Callable) -> None:
    printed = tables(avalanche_strategies, "--repetitions", "1", "--epochs", "2", "--images", "40")
    assert len(printed) == 2  # batch sizes
    for *rows, note in printed:
        assert [row[:2] for row in rows] == [[name, task] for name in ("er", "ewc", "lwf", "derpp") for task in (2, 3)]
        for _, _, theirs, ours, ratio in rows:
            assert ratio == pytest.approx(ours / theirs, rel=0.02, abs=0.01)
        assert note[0].startswith("derpp: Avalanche's DER has one head, since with several: TypeError")
