"""One process does all jobs, as long as it can."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from benchmark.progress.events import Event, JobBegan, JobEnded
from benchmark.running.executors.cell_learner import CellLearner
from benchmark.running.executors.cells import Job
from benchmark.running.executors.serial import SerialExecutor
from methods.errors import UserError

FIRST, SECOND = (Job(f"sgd, seed {seed}", ("sgd", seed, 0)) for seed in range(2))
ERROR = RuntimeError("CUDA error: device-side assert triggered\nSearch for it")


class Unlucky(CellLearner):
    """Its jobs end with an error."""

    def __init__(self, error: Exception):
        self.error = error

    def do(self, job: Job, tell: Any) -> None:
        raise self.error


def causes(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.job, event.failure.cause) for event in events if isinstance(event, JobEnded) and event.failure]


CAUSE = "RuntimeError: CUDA error: device-side assert triggered"


def test_after_an_error_of_the_gpu_no_job_begins():
    jobs, events = deque([FIRST, SECOND]), list[Event]()
    with pytest.raises(UserError) as caught:
        SerialExecutor(Unlucky(ERROR), share=1.0).run(jobs, events.append)
    assert str(caught.value) == (
        f"sgd, seed 0: {CAUSE}, after which this process cannot use the GPU any more; restart it, and give the same "
        "name to go on with the run"
    )
    assert events[0] == JobBegan(FIRST.name)
    assert causes(events) == [(FIRST.name, CAUSE)]
    assert list(jobs) == [SECOND]


@pytest.mark.parametrize(("error", "share", "cause"), [(ERROR, 0.0, CAUSE), (ValueError("no"), 1.0, "ValueError: no")])
def test_after_other_errors_the_other_jobs_are_done(error: Exception, share: float, cause: str):
    events: list[Event] = []
    SerialExecutor(Unlucky(error), share).run(deque([FIRST, SECOND]), events.append)
    assert causes(events) == [(FIRST.name, cause), (SECOND.name, cause)]
