from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from performance import evaluations


def test_isolating_methods_evaluate_each_task_once(tables: Callable) -> None:
    cache = os.environ.get("XDG_CACHE_HOME")
    ((clr, sgd),) = tables(evaluations, "--tasks", "3", "--methods", "clr,sgd")
    assert clr[:4] == ["clr", "yes", 3, 1]
    assert sgd[:4] == ["sgd", "no", 6, 1]
    for *_, training, evaluation, other, total in (clr, sgd):
        assert min(training, evaluation, other) >= 0
        assert total == pytest.approx(training + evaluation + other, abs=0.02)
    assert os.environ.get("XDG_CACHE_HOME") == cache
