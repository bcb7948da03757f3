"""Runs jobs in parallel processes on this machine."""

from __future__ import annotations

import os
import signal
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from benchmark.progress.events import Event, Failure, JobBegan, JobEnded, Listener
from benchmark.running.executors.base import attempt
from benchmark.running.executors.cells import Job
from benchmark.running.executors.plan import Plan
from benchmark.workers import begin_worker, context

# How often a job is started again if its worker dies: its learned tasks are in the run's folder.
_RETRIES = 1

# Explanations of signals. All but the first are faults of compiled code: torch, a library, or the processor.
_SIGNALS = {
    "SIGKILL": "as the system does when memory runs out; fewer --jobs or a smaller --batch-size need less",
    "SIGSEGV": "segmentation fault",
    "SIGBUS": "access to memory or to a file that is not there",
    "SIGILL": "an instruction that this processor does not have",
    "SIGFPE": "arithmetic fault",
    "SIGABRT": "abort, as when memory was overwritten",
}


@dataclass(frozen=True)
class ProcessExecutor:
    """Workers in separate processes, each with its share of the threads and GPUs.

    If a worker dies, only its current task is lost. Its job is given once to another worker.

    Attributes:
        plan: the run's plan.
        workers: number of workers.
        gpus: the GPU number of each worker; empty if no GPU is used.
    """

    plan: Plan
    workers: int
    gpus: Sequence[int] = ()

    def run(self, jobs: deque[Job], tell: Listener) -> None:
        deaths = Counter[Job]()
        places = deque(range(self.workers))
        busy: dict[object, _Worker] = {}
        idle: list[_Worker] = []
        try:
            while jobs or busy:
                while jobs and (idle or places):
                    worker = idle.pop() if idle else self._start(places.popleft())
                    worker.give(jobs.popleft())
                    busy[worker.pipe] = worker
                    tell(JobBegan(worker.job.name))
                for pipe in connection.wait([worker.pipe for worker in busy.values()]):
                    worker = busy[pipe]
                    event = worker.receive()
                    if event is not None:
                        if isinstance(event, JobEnded):
                            idle.append(busy.pop(pipe))
                        tell(event)
                        continue
                    del busy[pipe]
                    worker.bury()
                    places.append(worker.place)
                    deaths[worker.job] += 1
                    if deaths[worker.job] <= _RETRIES:
                        jobs.appendleft(worker.job)
                    else:
                        tell(JobEnded(worker.job.name, worker.obituary()))
        finally:
            for worker in [*idle, *busy.values()]:
                worker.process.terminate()
            for worker in [*idle, *busy.values()]:
                worker.bury()

    def _start(self, place: int) -> _Worker:
        ours, theirs = context().Pipe()
        arguments = (theirs, self.plan, self.gpus[place] if self.gpus else None)
        process = context().Process(target=_work, args=arguments, daemon=True)  # type: ignore[attr-defined]
        process.start()
        theirs.close()
        return _Worker(place, process, ours)


@dataclass
class _Worker:
    """A process and its last job."""

    place: int
    process: BaseProcess
    pipe: Connection
    job: Job = field(init=False)

    def give(self, job: Job) -> None:
        self.job = job
        # If it is already dead, `receive` notices it.
        with suppress(OSError):
            self.pipe.send(job)

    def receive(self) -> Event | None:
        """Wait for its next event and return it; None if the process is dead."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            return None

    def bury(self) -> None:
        """Release the resources of a process that has ended or is about to end."""
        self.process.join()
        self.pipe.close()

    def obituary(self) -> Failure:
        """Return the failure of the last job, after the process has ended."""
        return Failure(f"the process that learned {self.job.key[0]} {_how_it_ended(self.process.exitcode or 0)}, twice")


def _how_it_ended(code: int) -> str:
    """Return an exit code in words. A negative code is the signal that killed the process."""
    if code >= 0:
        return f"ended with status {code}"
    # Some signals have only a number.
    name = next((each.name for each in signal.Signals if each == -code), str(-code))
    return f"was killed by signal {name}" + (f" ({_SIGNALS[name]})" if name in _SIGNALS else "")


def _work(pipe: Connection, plan: Plan, gpu: int | None) -> None:
    """Do jobs in a worker until the pipe closes."""
    begin_worker()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = _visible(gpu)
    # The parent process may have ended.
    with suppress(EOFError, OSError):
        while True:
            job = pipe.recv()
            pipe.send(JobEnded(job.name, attempt(plan, job, pipe.send)))


def _visible(gpu: int) -> str:
    """Return a GPU's name for CUDA_VISIBLE_DEVICES, given its number among the GPUs visible now."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return names.split(",")[gpu] if names else str(gpu)
