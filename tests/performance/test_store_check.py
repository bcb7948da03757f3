from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from performance import store_check


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot be told to forget a file")
def test_stores_are_read_and_checked(tables: Callable) -> None:
    ((first, second),) = tables(store_check, "--gigabytes", "0.001", "0.03", "--repetitions", "1")
    assert [first[0], second[0]] == [0.001, 0.03]
    assert len(first) == len(second) == 6
    assert all(value > 0 for value in second)
