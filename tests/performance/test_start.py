from __future__ import annotations

import os
from collections.abc import Callable

from performance import start


def test_the_second_run_decodes_nothing(tables: Callable) -> None:
    cache = os.environ["XDG_CACHE_HOME"]
    ((first, second),) = tables(start, "--images", "80", "--method", "linear-probe")
    assert first[:2] == ["first", 80]
    assert second[:2] == ["second", 0]
    for _, _, loading, to_step, whole in (first, second):
        assert min(loading, to_step) > 0
        assert whole > loading + to_step
    assert os.environ["XDG_CACHE_HOME"] == cache
