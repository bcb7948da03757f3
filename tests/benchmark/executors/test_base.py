"""What workers share out, what they make of errors, and how they tell of their progress."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmark.cells import Job
from benchmark.config import Settings
from benchmark.executors.base import Failure, Plan, RemoteProgress, attempt
from methods.errors import UserError

JOB = Job("sgd, seed 0", ("sgd", 0, 0))


def make_plan(**changes: Any) -> Plan:
    settings = Settings(methods=("sgd",))
    return Plan(settings, (), Path(), Path("run"), [[1]], keep_states=False, verify=False, **changes)


@pytest.mark.parametrize(
    ("machines", "workers", "each"),
    [
        ([8], 1, 8),
        ([8], 2, 4),
        ([8], 3, 2),
        ([2], 4, 1),  # more workers than threads
        ([2, 2, 2, 2], 4, 2),
        ([2, 2, 2, 2], 2, 2),  # no worker is spread over two machines
        ([4, 2], 3, 2),  # two and one
        ([3, 3], 3, 1),  # with two threads each, there is room for one on either
        ([64, 1], 1, 64),
    ],
)
def test_workers_share_out_the_threads(machines: list[int], workers: int, each: int):
    assert make_plan(threads=99).sharing(machines, workers) == make_plan(threads=each)


def test_what_goes_wrong_while_a_worker_loads_is_the_cause(monkeypatch: pytest.MonkeyPatch):
    def prepare(plan: Plan) -> None:
        raise error

    monkeypatch.setattr(Plan, "prepare", prepare)
    error: Exception = UserError("--stream: the disk is gone")
    assert _cause() == "--stream: the disk is gone"
    error = RuntimeError("no memory\nfor details see the log")
    assert _cause() == "RuntimeError: no memory"


def _cause() -> str:
    failure = attempt(make_plan(), JOB, RemoteProgress(print))
    assert isinstance(failure, Failure)
    assert "in prepare" in failure.traceback
    return failure.cause


def test_what_a_worker_tells_arrives_elsewhere(make_listener: Any):
    sent: list[Any] = []
    there, here = RemoteProgress(sent.append), make_listener()
    for progress in (there, expected := make_listener()):
        progress.note("loading")
        progress.cell("er, seed 0", 3, 1, 2)
        progress.task("er, seed 0", 2, "fungi")
        progress.epoch("er, seed 0")
        progress.failed("er, seed 0", "out of luck")
        progress.warn("a file is damaged")
        progress.ended("er, seed 0")
    for told in sent:
        told.tell(here)
    assert len(sent) == 7
    assert vars(here) == vars(expected)
