from __future__ import annotations

from collections.abc import Callable

import pytest

from performance import jobs


def test_throughputs_are_those_of_the_printed_times(tables: Callable) -> None:
    ((alone, together),) = tables(jobs, "--repetitions", "1", "--tasks", "1", "--epochs", "1", "--train-images", "20")
    assert [alone[0], together[0]] == ["--jobs 1, 1", "--jobs 2, 1 each"]
    for _, _, cells, ratio in (alone, together):
        assert cells > 0
        assert ratio == pytest.approx(cells / together[2], rel=0.05, abs=0.01)
