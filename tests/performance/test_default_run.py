from __future__ import annotations

from collections.abc import Callable

import pytest

from performance import default_run


def test_the_parts_add_up_to_the_whole(tables: Callable) -> None:
    arguments = ("--methods", "sgd,linear-probe", "--tasks", "2", "--train-images", "40", "--epochs", "1")
    parts, cells = tables(default_run, *arguments, "--jobs", "1")
    *seconds, whole = [value for _, value in parts]
    assert len(seconds) == 5
    imports, _, learned, drawing, _ = seconds
    assert min(imports, learned, drawing) > 0
    assert whole == pytest.approx(sum(seconds), abs=0.05)
    assert [method for method, *_ in cells] == ["sgd", "linear-probe"]
    learning = parts[2][1]
    assert 0 < sum(training + evaluation for _, training, evaluation in cells) < learning
