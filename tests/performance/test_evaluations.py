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
    assert os.environ.get("XDG_CACHE_HOME") == cache


def test_what_is_neither_training_nor_evaluation_is_the_rest(tables: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluations, "run", lambda *of: evaluations.Cost(5, training=1.5, evaluation=0.25, total=3.0))
    ((clr, sgd),) = tables(evaluations, "--tasks", "5", "--methods", "clr,sgd")
    assert clr == ["clr", "yes", 5, 1, 1.5, 0.25, 1.25, 3]
    # Of 1 + 2 + 3 + 4 + 5 evaluations.
    assert sgd == ["sgd", "no", 5, 0.33, 1.5, 0.25, 1.25, 3]
