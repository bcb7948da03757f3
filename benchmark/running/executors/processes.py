"""Runs jobs in parallel processes on this machine."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import ClassVar

from benchmark.progress.events import Event, Failure, JobEnded, Listener
from benchmark.running.executors.base import attempt
from benchmark.running.executors.cells import Job
from benchmark.running.executors.crew import do_all
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

    If a worker dies or loses its GPU, only its current task is lost; see do_all.

    Attributes:
        plan: the run's plan, with the share of a GPU.
        workers: number of workers.
        gpus: the GPU number of each worker; empty if no GPU is used.
    """

    plan: Plan
    workers: int
    gpus: Sequence[int] = ()
    retries: ClassVar[int] = _RETRIES

    @property
    def share(self) -> float:
        return self.plan.share

    @property
    def devices(self) -> Sequence[int]:
        return self.gpus or [0] * self.workers

    def run(self, jobs: deque[Job], tell: Listener) -> None:
        do_all(jobs, self, tell)

    def start(self, place: int, alone: bool) -> _Worker:
        ours, theirs = context().Pipe()
        plan = replace(self.plan, share=1.0) if alone and self.gpus else self.plan
        arguments = (theirs, plan, self.gpus[place] if self.gpus else None)
        process = context().Process(target=_work, args=arguments, daemon=True)  # type: ignore[attr-defined]
        process.start()
        theirs.close()
        return _Worker(place, alone, process, ours)

    def wait(self, busy: Sequence[_Worker], tell: Listener) -> Iterator[tuple[_Worker, JobEnded | None]]:
        workers = {worker.pipe: worker for worker in busy}
        for pipe in connection.wait(list(workers)):
            worker = workers[pipe]  # type: ignore[index]
            event = worker.receive()
            if event is None or isinstance(event, JobEnded):
                yield worker, event
            else:
                tell(event)


@dataclass(eq=False)
class _Worker:
    """A process; see Worker."""

    place: int
    alone: bool
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

    def stop(self) -> None:
        # Not asked to end, because after an error of the GPU that can take long, or print.
        self.process.kill()

    def bury(self) -> None:
        self.process.join()
        self.pipe.close()

    def obituary(self) -> Failure:
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
