"""Jobs side by side in processes of this machine."""

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

# A job whose worker dies is begun again so often: what it learned is in the run's folder.
_RETRIES = 1

# What signals mean to people. All but the first are faults of compiled code: of torch, a library, or the processor.
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
    """Workers in processes of their own, each with its share of the threads and GPUs.

    A worker that dies takes nothing with it but what it has learned since the last task; its job is given once to
    another one.

    Attributes:
        plan: of the run.
        workers: how many there are.
        gpus: the number of the GPU that each of them uses; empty for none.
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
    """A process, and the job that it was given last."""

    place: int
    process: BaseProcess
    pipe: Connection
    job: Job = field(init=False)

    def give(self, job: Job) -> None:
        self.job = job
        # That it is dead already is found out when it does not answer.
        with suppress(OSError):
            self.pipe.send(job)

    def receive(self) -> Event | None:
        """What it sends, once there is something; None if it is dead."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            return None

    def bury(self) -> None:
        """Leave nothing of a process that has ended, or is about to."""
        self.process.join()
        self.pipe.close()

    def obituary(self) -> Failure:
        """Of its job, which it was the last to be given; it has ended."""
        return Failure(f"the process that learned {self.job.key[0]} {_how_it_ended(self.process.exitcode or 0)}, twice")


def _how_it_ended(code: int) -> str:
    """What an exit code says, which is the negative number of a signal where one killed the process."""
    if code >= 0:
        return f"ended with status {code}"
    # Some signals have a number only.
    name = next((each.name for each in signal.Signals if each == -code), str(-code))
    return f"was killed by signal {name}" + (f" ({_SIGNALS[name]})" if name in _SIGNALS else "")


def _work(pipe: Connection, plan: Plan, gpu: int | None) -> None:
    """A worker's life."""
    begin_worker()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = _visible(gpu)
    # The process that gives the jobs may be gone.
    with suppress(EOFError, OSError):
        while True:
            job = pipe.recv()
            pipe.send(JobEnded(job.name, attempt(plan, job, pipe.send)))


def _visible(gpu: int) -> str:
    """The name of a GPU for CUDA_VISIBLE_DEVICES, given its number among those that are visible now."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return names.split(",")[gpu] if names else str(gpu)
