"""Common code of the executors."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from benchmark.progress.events import Failure, Listener
from benchmark.running.executors.cell_learner import CellLearner
from benchmark.running.executors.cells import Job
from benchmark.running.executors.failures import failure_of
from benchmark.running.executors.plan import Plan


class Executor(Protocol):
    """Runs jobs.

    Attributes:
        workers: the most jobs that run at the same time.
        share: the share of a GPU that each of them has; 0 if no GPU is used.
    """

    @property
    def workers(self) -> int: ...

    @property
    def share(self) -> float: ...

    def run(self, jobs: deque[Job], tell: Listener) -> None:
        """Do all jobs, from the front. Every job begins, perhaps more than once, and ends once.

        When `tell` receives the end of a job, it may add jobs, remove jobs that have not begun, or stop all jobs with
        an exception.
        """


# In a worker: the plan that this process works on, and what it has loaded for the plan.
_at_work: tuple[Plan, CellLearner] | None = None


def attempt(plan: Plan, job: Job, tell: Listener) -> Failure | None:
    """Do a job in a worker, which loads what it needs before its first job."""
    global _at_work
    if _at_work is None or _at_work[0] != plan:
        try:
            _at_work = plan, plan.learner(plan.prepare())
        except Exception as error:
            return failure_of(error)
    return guarded(_at_work[1], job, tell)


def guarded(learner: CellLearner, job: Job, tell: Listener) -> Failure | None:
    """Do a job. After any error, the other jobs continue."""
    try:
        learner.do(job, tell)
    except Exception as error:
        return failure_of(error)
    return None
