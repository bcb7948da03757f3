"""Jobs one after the other, in this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass

from benchmark.progress.base import Progress
from benchmark.running.executors.base import Began, Ended, guarded
from benchmark.running.executors.cells import Cells, Job


@dataclass(frozen=True)
class SerialExecutor:
    """An executor without workers.

    Attributes:
        cells: what does the jobs.
    """

    cells: Cells

    def run(self, jobs: deque[Job], progress: Progress) -> Generator[Began | Ended]:
        while jobs:
            job = jobs.popleft()
            yield Began(job)
            yield Ended(job, guarded(self.cells, job, progress))
