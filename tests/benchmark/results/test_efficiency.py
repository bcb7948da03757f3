"""efficiency.csv against numbers worked out by hand."""

from __future__ import annotations

import math
import re
from typing import Any

import pandas as pd
import pytest

from benchmark.report.tables import efficiency_display
from benchmark.results.efficiency import efficiency_table, unbeaten
from benchmark.results.run import collect
from benchmark.storage.manifest import Manifest

LABELS = ["a", "b", "c", "d", "e"]
MANIFEST = Manifest({"settings": {"scenario": "task", "infer": ["centres"]}, "cells": []})


def table(rows: list[tuple[str, str, float, float, bool]], flops: list[float]) -> pd.DataFrame:
    summary = pd.DataFrame(rows, columns=["method", "answer", "average_accuracy", "stored_bytes", "at_chance"])
    compute = pd.DataFrame({"method": LABELS[: len(flops)], "training_flops": flops})
    return efficiency_table(summary.assign(chance_level=0.1), compute, MANIFEST)


def test_points_above_chance_are_divided_by_bytes_and_by_operations() -> None:
    found = table([("a", "task", 0.6, 2e6, False), ("b", "task", 0.35, 5e5, False)], [4e12, 5e11])
    assert found["points_per_megabyte"].tolist() == pytest.approx([25, 50])
    assert found["points_per_teraflop"].tolist() == pytest.approx([12.5, 50])


def test_nothing_is_divided_by_no_bytes() -> None:
    found = table([("a", "task", 0.6, 0, False), ("b", "task", 0.35, -8, False)], [4e12, 0])
    assert found["points_per_megabyte"].isna().all()
    assert found["points_per_teraflop"].isna().tolist() == [False, True]


def test_a_method_is_unbeaten_if_none_is_as_accurate_at_a_lower_cost() -> None:
    rows = [
        ("a", "task", 0.8, 3e6, False),
        ("b", "task", 0.7, 1e6, False),
        ("c", "task", 0.7, 2e6, False),
        ("d", "task", 0.9, 9e6, False),
        ("e", "task", 0.1, 1.0, True),
    ]
    found = table(rows, [1e12, 3e12, 3e12, 9e12, 1.0])
    assert found["unbeaten"].tolist() == ["storage, compute", "storage", "no", "storage, compute", "no"]


def test_answers_without_the_oracle_are_compared_with_each_other() -> None:
    rows = [
        ("a", "task", 0.8, 3e6, False),
        ("b", "task", 0.7, 4e6, False),
        ("a", "inferred:centres", 0.5, 3e6, False),
        ("b", "inferred:centres", 0.6, 4e6, False),
    ]
    assert table(rows, [1e12, 1e12])["unbeaten"].tolist() == ["storage, compute", "no", "storage", "storage, compute"]


def test_methods_that_did_not_finish_have_no_row() -> None:
    found = table([("a", "task", math.nan, math.nan, False), ("b", "task", 0.35, 5e5, False)], [4e12, 5e11])
    assert found["method"].tolist() == ["b"]


def test_equal_ones_do_not_beat_each_other_and_unknown_costs_take_no_part() -> None:
    assert unbeaten([0.5, 0.5, 0.5, 0.9], [2.0, 2.0, 3.0, math.nan]) == [0, 1]
    assert unbeaten([], []) == []


def test_a_run_has_the_rows_of_its_summary_and_the_reader_sees_which_answer(class_run: Any) -> None:
    run = class_run.manifest()
    found = collect(run, run.read_manifest())
    names = ["method", "answer", "average_accuracy", "stored_bytes"]
    assert found.efficiency[names].equals(found.tables["summary"][names])
    shown = efficiency_display(found)
    assert shown.headers[:3] == ("Method", "Answer", "Unbeaten")
    levels = found.tables["summary"].groupby("answer")["chance_level"].first()
    for answer, level in levels.items():
        assert re.search(rf"[(; ]{100 * level:.1f} % for [^;)]*\b{re.escape(str(answer))}\b", shown.caption), answer
