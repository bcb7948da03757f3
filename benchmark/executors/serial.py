"""Jobs one after the other, in this process."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from benchmark.cells import Cells, Job
from benchmark.executors.base import Began, Ended, guarded
from benchmark.progress import Progress


class SerialExecutor:
    """An executor without workers."""

    def __init__(self, cells: Cells):
        self._cells = cells

    def run(self, jobs: Sequence[Job], progress: Progress) -> Generator[Began | Ended]:
        for job in jobs:
            yield Began(job)
            yield Ended(job, guarded(self._cells, job, progress))
