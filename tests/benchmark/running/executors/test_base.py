"""What workers share out, what they make of errors, and how they tell of their progress."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.config import Settings
from benchmark.planning.preparation import prepare_run
from benchmark.progress.events import (
    CellBegan,
    CellEnded,
    CellFailed,
    EpochDone,
    Event,
    Failure,
    JobBegan,
    JobEnded,
    Note,
    TaskBegan,
    Warned,
)
from benchmark.running.executors.base import attempt
from benchmark.running.executors.cells import Job
from benchmark.running.executors.plan import Plan
from benchmark.streams.base import Stream, Task
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


def test_a_worker_maps_the_images_that_are_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    settings = Settings(methods=("sgd",), tasks=2, train_images=40, test_images=20)
    stream = prepare_run(settings, print).stream
    plan = replace(make_plan(), settings=settings).with_stream(stream)
    assert len(plan.stream or b"") < 20_000, "labels, and the files' names"

    with monkeypatch.context() as patched:
        patched.setattr("benchmark.planning.preparation.build_stream", None)
        mapped = plan.prepare().stream
    assert mapped.fingerprint == stream.fingerprint
    assert all(torch.equal(a.test.images, b.test.images) for a, b in zip(mapped.tasks, stream.tasks, strict=True))

    shutil.rmtree(tmp_path / "continual-benchmark")
    assert plan.prepare().stream.fingerprint == stream.fingerprint, "it is built again"


@pytest.mark.parametrize(("share", "limits"), [(0.0, []), (0.25, [0.25]), (1.0, [1.0])])
def test_a_worker_limits_its_memory_before_it_loads_anything(
    monkeypatch: pytest.MonkeyPatch, share: float, limits: list[float]
):
    done: list[Any] = []
    monkeypatch.setattr("benchmark.running.executors.plan.limit_memory", done.append)
    monkeypatch.setattr("benchmark.running.executors.plan.prepare_run", lambda *given, **options: done.append("load"))
    replace(make_plan(share=share), directory=Path.cwd()).prepare()
    assert done == [*limits, "load"]


def test_images_in_memory_are_not_sent(tiny_tasks: tuple[Task, ...]):
    assert make_plan().with_stream(Stream("tiny", tiny_tasks)).stream is None


def test_what_goes_wrong_while_a_worker_loads_is_the_cause(monkeypatch: pytest.MonkeyPatch):
    def prepare(plan: Plan) -> None:
        raise error

    monkeypatch.setattr(Plan, "prepare", prepare)
    error: Exception = UserError("--stream: the disk is gone")
    assert _cause() == "--stream: the disk is gone"
    error = RuntimeError("no memory\nfor details see the log")
    assert _cause() == "RuntimeError: no memory"


def _cause() -> str:
    failure = attempt(make_plan(), JOB, print)
    assert isinstance(failure, Failure)
    assert "in prepare" in failure.traceback
    return failure.cause


def test_what_a_worker_tells_arrives_elsewhere(make_listener: Any):
    events: list[Event] = [
        Note("loading"),
        JobBegan("er, seed 0"),
        CellBegan("er, seed 0", 3, 1, 2),
        TaskBegan("er, seed 0", 2, "fungi"),
        EpochDone("er, seed 0"),
        CellFailed("er, seed 0", "out of luck"),
        Warned("a file is damaged"),
        CellEnded("er, seed 0"),
        JobEnded("er, seed 0", Failure("out of luck", diverged=True)),
    ]
    here = make_listener()
    for event in events:
        arrived = pickle.loads(pickle.dumps(event))
        assert arrived == event
        here(arrived)
    assert here.cells == [("er, seed 0", 1)]
    assert here.tasks == [("er, seed 0", 2)]
    assert here.failures == [("er, seed 0", "out of luck")]
    assert here.warnings == ["a file is damaged"]
