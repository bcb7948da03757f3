"""Gives jobs to workers, and decides what becomes of a job whose worker failed."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Generic, Protocol, TypeVar

from benchmark.progress.events import Failure, JobBegan, JobEnded, Listener
from benchmark.running.executors.cells import Job

# How often a job is started again after its worker lost the GPU. The second time, the cause is probably the job.
_AFTER_GPU_ERROR = 1


class Worker(Protocol):
    """A process that does one job after another.

    Attributes:
        place: its number among the workers.
        alone: whether it has a GPU for itself, for a single job.
        job: its last job.
    """

    place: int
    alone: bool
    job: Job

    def give(self, job: Job) -> None:
        """Let it begin a job."""

    def stop(self) -> None:
        """Kill it, if it lives."""

    def bury(self) -> None:
        """Release the resources of a worker that has been stopped or has died."""

    def obituary(self) -> Failure:
        """Return the failure of its last job, after it died and was buried."""


W = TypeVar("W", bound=Worker)


class Crew(Protocol[W]):
    """Starts workers, and hears from them.

    Attributes:
        devices: for each place of a worker, what it computes on. A worker that is alone has the device of its place
            for itself.
        retries: how often a job is started again if its worker dies.
    """

    @property
    def devices(self) -> Sequence[int]: ...

    @property
    def retries(self) -> int: ...

    def start(self, place: int, alone: bool) -> W:
        """Start a worker."""

    def wait(self, busy: Sequence[W], tell: Listener) -> Iterable[tuple[W, JobEnded | None]]:
        """Wait for news of busy workers, and pass them on to `tell`.

        Yields:
            Workers whose job has ended, and how; None if the worker has died.
        """


def do_all(jobs: deque[Job], crew: Crew[W], tell: Listener) -> None:
    """Do all jobs, as Executor.run says.

    - A worker that dies, or that meets an error of the GPU, is replaced. Its job is started again; the tasks that it
      has learned are in the run's folder.
    - A job for which the GPU had too little memory is started again when there are no other jobs: then it has the GPU
      for itself.
    """
    shift = _Shift(jobs, crew, tell)
    try:
        shift.work()
    finally:
        shift.close()


class _Shift(Generic[W]):
    """The workers, and the jobs that they do."""

    def __init__(self, jobs: deque[Job], crew: Crew[W], tell: Listener):
        self.jobs, self.crew, self.tell = jobs, crew, tell
        self.free = deque(range(len(crew.devices)))
        self.busy: list[W] = []
        self.idle: list[W] = []
        # Jobs that need a GPU for themselves.
        self.large = deque[Job]()
        self.deaths, self.errors = Counter[Job](), Counter[Job]()

    def work(self) -> None:
        while self.jobs or self.large or self.busy:
            while self.jobs and (worker := self._ready()):
                self._give(worker, self.jobs.popleft())
            if not self.jobs and (self.large or any(worker.alone for worker in self.busy)):
                self._give_alone()
            for worker, end in self.crew.wait(list(self.busy), self.tell):
                self.busy.remove(worker)
                if end is None:
                    self._died(worker)
                else:
                    self._ended(worker, end)

    def close(self) -> None:
        """End all workers."""
        self._end(self.idle + self.busy)

    def _ready(self) -> W | None:
        """Return a worker for the next job; None if all are busy."""
        if self.idle:
            return self.idle.pop()
        taken = {self.crew.devices[worker.place] for worker in self.busy if worker.alone}
        place = next((place for place in self.free if self.crew.devices[place] not in taken), None)
        return None if place is None else self._start(place, alone=False)

    def _start(self, place: int, alone: bool) -> W:
        self.free.remove(place)
        return self.crew.start(place, alone)

    def _give(self, worker: W, job: Job) -> None:
        worker.give(job)
        self.busy.append(worker)
        self.tell(JobBegan(job.name))

    def _give_alone(self) -> None:
        """Start large jobs on devices where nothing goes on."""
        # Idle workers keep memory of their GPU.
        self._end(self.idle)
        self.idle = []
        for place in list(self.free):
            used = {self.crew.devices[worker.place] for worker in self.busy}
            if self.large and self.crew.devices[place] not in used:
                self._give(self._start(place, alone=True), self.large.popleft())

    def _died(self, worker: W) -> None:
        worker.bury()
        self.free.append(worker.place)
        self.deaths[worker.job] += 1
        if self.deaths[worker.job] <= self.crew.retries:
            self._again(worker)
        else:
            self.tell(JobEnded(worker.job.name, worker.obituary()))

    def _ended(self, worker: W, end: JobEnded) -> None:
        job, failure = worker.job, end.failure
        if worker.alone or (failure and (failure.memory or failure.broken)):
            self._end([worker])
        else:
            self.idle.append(worker)
        if failure and failure.memory:
            if not worker.alone:
                self.large.append(job)
                return
            failure = replace(failure, cause=f"alone on a whole GPU, as with --gpus-per-cell 1: {failure.cause}")
        elif failure and failure.broken:
            self.errors[job] += 1
            if self.errors[job] <= _AFTER_GPU_ERROR:
                self._again(worker)
                return
            cause = f"{failure.cause}, in each of {_AFTER_GPU_ERROR + 1} processes; CUDA_LAUNCH_BLOCKING=1 shows where"
            failure = replace(failure, cause=cause)
        self.tell(JobEnded(job.name, failure))

    def _again(self, worker: W) -> None:
        """Let the worker's job be the next of its kind."""
        (self.large if worker.alone else self.jobs).appendleft(worker.job)

    def _end(self, workers: Sequence[W]) -> None:
        """Stop workers, all at the same time."""
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.bury()
            self.free.append(worker.place)
