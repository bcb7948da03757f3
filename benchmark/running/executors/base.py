"""What executors have in common."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

from benchmark.files import StorageError
from benchmark.learning.strategy import DivergedError
from benchmark.progress.base import Progress
from benchmark.running.executors.cells import Cells, Job, KeepsError
from benchmark.running.executors.plan import Plan
from benchmark.storage.manifest import DIVERGED, FAILED
from methods.errors import UserError, first_line


@dataclass(frozen=True)
class Failure:
    """Why a job failed.

    Attributes:
        cause: in one line.
        traceback: empty where there is none, as when the process was killed.
        status: what becomes of its cell, "failed" or "diverged".
        stops: whether no other job could keep what it learns either.
        keeps: whether nothing is wrong but that the task was learned alone.
    """

    cause: str
    traceback: str = ""
    status: str = FAILED
    stops: bool = False
    keeps: bool = False


@dataclass(frozen=True)
class Began:
    """A job begins."""

    job: Job


@dataclass(frozen=True)
class Ended:
    """A job has ended; `failure` is None where all went well."""

    job: Job
    failure: Failure | None


class Executor(Protocol):
    """Does jobs."""

    def run(self, jobs: deque[Job], progress: Progress) -> Generator[Began | Ended]:
        """Do all jobs, taken from the front. Every job begins, perhaps more than once, and ends once.

        Whoever hears that one has ended may add others, and take away those that have not begun.
        """


# The plan that this process works on, if it is a worker, and what it has loaded for it.
_at_work: tuple[Plan, Cells] | None = None


def attempt(plan: Plan, job: Job, progress: Progress) -> Failure | None:
    """Do a job in a worker, which loads what it needs before its first."""
    global _at_work
    if _at_work is None or _at_work[0] != plan:
        try:
            _at_work = plan, plan.cells(plan.prepare())
        except Exception as error:
            return _failure(error)
    return guarded(_at_work[1], job, progress)


def guarded(cells: Cells, job: Job, progress: Progress) -> Failure | None:
    """Do a job; whatever goes wrong, the others go on."""
    try:
        cells.do(job, progress)
    except Exception as error:
        return _failure(error)
    return None


def _failure(error: Exception) -> Failure:
    """Of a job, by the exception that is being handled."""
    return Failure(
        str(error) if isinstance(error, (UserError, DivergedError)) else first_line(error),
        traceback.format_exc(),
        DIVERGED if isinstance(error, DivergedError) else FAILED,
        isinstance(error, StorageError),
        isinstance(error, KeepsError),
    )
