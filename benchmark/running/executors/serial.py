"""Runs jobs one after the other, in this process."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import ClassVar

from benchmark.progress.events import JobBegan, JobEnded, Listener
from benchmark.running.executors.base import guarded
from benchmark.running.executors.cell_learner import CellLearner
from benchmark.running.executors.cells import Job
from methods.errors import UserError


@dataclass(frozen=True)
class SerialExecutor:
    """An executor without workers.

    Attributes:
        learner: does the jobs.
        share: 1 if it uses a GPU, else 0.
    """

    learner: CellLearner
    share: float = 0.0
    workers: ClassVar[int] = 1

    def run(self, jobs: deque[Job], tell: Listener) -> None:
        """See Executor.

        Raises:
            UserError: the GPU met an error, after which the other jobs would fail too.
        """
        while jobs:
            job = jobs.popleft()
            tell(JobBegan(job.name))
            failure = guarded(self.learner, job, tell)
            tell(JobEnded(job.name, failure))
            if failure and failure.broken and self.share:
                raise UserError(
                    f"{job.name}: {failure.cause}, after which this process cannot use the GPU any more; restart it, "
                    "and give the same name to go on with the run"
                )
