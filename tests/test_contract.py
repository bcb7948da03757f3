"""What every registered method must do, known or new: the checks of `python -m benchmark check`, one by one."""

from __future__ import annotations

from functools import lru_cache

import pytest

from benchmark.checks.base import examine, examine_one
from benchmark.checks.gpu import GPU_CHECK
from benchmark.checks.methods import METHOD_CHECKS
from benchmark.checks.subject import MethodSubject
from benchmark.checks.tiny import TINY
from benchmark.planning.scenarios import methods_for
from methods.configured import configure
from methods.scenarios import Scenario

# Harder gates may all be exactly open or closed, and then nothing leaks: hat would isolate more than it promises.
# "avalanche" alone names no plugin.
SPECIFICATIONS = (
    *(spec for spec in methods_for("task") if spec not in ("hat", "avalanche")),
    *("hat:smax=20", "avalanche:MASPlugin", "avalanche:EWCPlugin:ewc_lambda=1"),
)
# They work on convolutions and on a transformer, in ways of their own, so both are checked.
ON_BOTH = ("clr", "norm-only", "bitfit", "ssf", "adapter", "psp", "supsup", "packnet", "ewc")
# Each handles the columns of earlier or later tasks in a way of its own.
ALL_LOGITS = ("sgd:logits=all", "derpp:logits=all", "cls-er:logits=all", "joint:logits=all")
CURRENT_LOGITS = (
    "ewc:logits=current:fisher=exact",
    "er:logits=current",
    "derpp:logits=current",
    "cls-er:logits=current",
)
CHECKS = {check.name: check for check in METHOD_CHECKS}


@lru_cache(maxsize=1)
def subject(spec: str) -> MethodSubject:
    """A method whose checks run one after another, so that it learns only once for several checks."""
    return MethodSubject(configure(spec))


@pytest.mark.parametrize(("spec", "name"), [(spec, name) for spec in SPECIFICATIONS for name in CHECKS])
def test_keeps_the_contract(spec: str, name: str) -> None:
    finding = examine_one(CHECKS[name], subject(spec))
    waits = name == GPU_CHECK.name and spec.startswith("avalanche:")
    assert finding.status == "ok", finding.text
    assert finding.text.startswith("on a GPU it waits in each step: " if waits else "")
    assert bool(finding.text) == waits


@pytest.mark.parametrize("spec", ON_BOTH)
def test_keeps_the_contract_on_a_transformer(spec: str) -> None:
    found = list(examine(METHOD_CHECKS, lambda: MethodSubject(configure(spec), backbones=TINY[1])))
    assert [str(finding) for finding in found if finding.status != "ok" or finding.text] == []


@pytest.mark.parametrize(
    ("spec", "scenario"),
    [
        (spec, scenario)
        for scenario in ("class", "domain")
        for spec in (*methods_for(scenario), *((*ALL_LOGITS, *CURRENT_LOGITS) if scenario == "class" else ()))
    ],
)
def test_keeps_the_contract_where_one_head_answers_for_all_tasks(spec: str, scenario: Scenario) -> None:
    found = list(examine(METHOD_CHECKS, lambda: MethodSubject(configure(spec), scenario=scenario)))
    assert [str(finding) for finding in found if finding.status != "ok" or finding.text] == []
    assert len(found) == len(METHOD_CHECKS)


def test_the_checks_have_names_of_their_own() -> None:
    assert len(CHECKS) == len(METHOD_CHECKS) >= 20
