"""What every registered method must do, known or new: the checks of `python -m benchmark check`, one by one."""

from __future__ import annotations

from functools import lru_cache

import pytest

from benchmark.checks.base import examine_one
from benchmark.checks.gpu import GPU_CHECK
from benchmark.checks.methods import METHOD_CHECKS
from benchmark.checks.subject import MethodSubject
from methods import methods
from methods.configured import configure

# Harder gates may all be exactly open or closed, and then nothing leaks: hat would isolate more than it promises.
SPECIFICATIONS = (
    *(spec for spec in methods.members("all") if spec != "hat"),
    *("hat:smax=20", "avalanche:MASPlugin", "avalanche:EWCPlugin:ewc_lambda=1"),
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


def test_the_checks_have_names_of_their_own() -> None:
    assert len(CHECKS) == len(METHOD_CHECKS) >= 20
