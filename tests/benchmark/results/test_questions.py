"""Which answers a method gives, and which of them is its main one."""

from __future__ import annotations

from typing import Any

import pytest

from benchmark.results.questions import Asked, asked, rule_of, scenario_of, scenario_suffix
from benchmark.storage.manifest import Manifest


@pytest.mark.parametrize(
    ("question", "main", "others", "without"),
    [
        (Asked("task", "task", ()), "task", [], []),
        (Asked("task", "task", ("gmm",)), "task", ["inferred:gmm"], ["inferred:gmm"]),
        (Asked("class", "class", ()), "class", ["derived"], ["class"]),
        (
            Asked("class", "class", ("gmm", "energy")),
            "class",
            ["derived", "inferred:gmm", "inferred:energy"],
            ["class", "inferred:gmm", "inferred:energy"],
        ),
        (
            Asked("class", "task", ("gmm", "energy")),
            "inferred:gmm",
            ["task", "inferred:energy"],
            ["inferred:gmm", "inferred:energy"],
        ),
        (Asked("domain", "domain", ()), "domain", [], []),
        (Asked("domain", "domain", ("gmm",)), "domain", ["inferred:gmm"], ["domain", "inferred:gmm"]),
        (Asked("domain", "task", ("gmm",)), "inferred:gmm", ["task"], ["inferred:gmm"]),
    ],
)
def test_the_main_answer_is_that_of_the_scenario_or_else_of_the_first_rule(
    question: Asked, main: str, others: list[str], without: list[str]
) -> None:
    assert question.main == main
    assert list(question.all) == [main, *others]
    assert list(question.without_oracle) == without
    assert question.counterpart == (([question.oracle] if main in without else without) or [None])[0]
    assert question.oracle == {"task": "task", "class": "derived", "domain": None}[question.own]


def test_rules_have_names() -> None:
    assert [rule_of(name) for name in ("inferred:gmm", "task", "derived")] == ["gmm", None, None]


def manifest(**entries: Any) -> Manifest:
    cells = [{"method": method, "run": run} for method, run in (("er", "a"), ("clr", "a"), ("er (scenario=task)", "b"))]
    return Manifest({"cells": cells, "settings": {}} | entries)


def test_an_older_run_asked_for_the_task() -> None:
    assert asked(manifest(), "er") == Asked("task", "task", ())
    assert scenario_suffix(manifest()) == ""


def test_a_run_says_in_what_each_method_learned() -> None:
    found = manifest(settings={"scenario": "class", "infer": ["gmm"]}, learned_as={"er": "class", "clr": "task"})
    assert asked(found, "er") == Asked("class", "class", ("gmm",))
    assert asked(found, "clr") == Asked("class", "task", ("gmm",))
    assert scenario_suffix(found) == ", scenario class"


def test_in_a_comparison_each_label_has_the_settings_of_its_run() -> None:
    runs = {"a": {"settings": {"scenario": "class", "infer": ["gmm"]}}, "b": {"settings": {}}}
    learned_as = {"er": "class", "clr": "task", "er (scenario=task)": "task"}
    found = manifest(settings={"scenario": "class", "infer": ["gmm"]}, runs=runs, learned_as=learned_as)
    assert asked(found, "clr").main == "inferred:gmm"
    assert asked(found, "er (scenario=task)") == Asked("task", "task", ())
    assert scenario_of(found) is None
    assert scenario_suffix(found) == ""
