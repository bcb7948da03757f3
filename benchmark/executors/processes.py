"""Jobs side by side in processes of this machine."""

from __future__ import annotations

import os
import signal
from collections import Counter, deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from benchmark.cells import Job
from benchmark.executors.base import Began, Ended, Failure, Plan, RemoteProgress, Told, attempt
from benchmark.executors.server import begin_worker, context
from benchmark.progress import Progress

# A job whose worker dies is begun again so often: what it learned is in the run's folder.
_RETRIES = 1


class ProcessExecutor:
    """Workers in processes of their own, each with its share of the threads and GPUs.

    A worker that dies takes nothing with it but what it has learned since the last task; its job is given once to
    another one.

    Args:
        plan: of the run.
        count: of workers.
        gpus: the number of the GPU that each worker uses; empty for none.
    """

    def __init__(self, plan: Plan, count: int, gpus: Sequence[int] = ()):
        self._plan = plan
        self._count = count
        self._gpus = gpus

    def run(self, jobs: Sequence[Job], progress: Progress) -> Generator[Began | Ended]:
        waiting, deaths = deque(jobs), Counter[Job]()
        slots = deque(range(min(self._count, len(jobs))))
        busy: dict[Connection, _Worker] = {}
        idle: list[_Worker] = []
        try:
            while waiting or busy:
                while waiting and (idle or slots):
                    worker = idle.pop() if idle else self._start(slots.popleft())
                    worker.job = waiting.popleft()
                    yield Began(worker.job)
                    # A worker that could not even start is found out below.
                    with suppress(OSError):
                        worker.pipe.send(worker.job)
                    busy[worker.pipe] = worker
                for pipe in connection.wait(list(busy)):
                    worker = busy[pipe]  # type: ignore[index]
                    assert worker.job is not None
                    try:
                        message = worker.pipe.recv()
                    except (EOFError, OSError):
                        del busy[worker.pipe]
                        slots.append(worker.slot)
                        deaths[worker.job] += 1
                        if deaths[worker.job] <= _RETRIES:
                            waiting.appendleft(worker.job)
                        else:
                            yield Ended(worker.job, worker.obituary())
                        continue
                    if isinstance(message, Told):
                        message.tell(progress)
                    else:
                        del busy[worker.pipe]
                        idle.append(worker)
                        yield Ended(worker.job, message.failure)
        finally:
            for worker in [*idle, *busy.values()]:
                worker.process.terminate()
            for worker in [*idle, *busy.values()]:
                worker.process.join()

    def _start(self, slot: int) -> _Worker:
        ours, theirs = context().Pipe()
        gpu = self._gpus[slot % len(self._gpus)] if self._gpus else None
        process = context().Process(target=_work, args=(theirs, self._plan, gpu), daemon=True)  # type: ignore[attr-defined]
        process.start()
        theirs.close()
        return _Worker(slot, process, ours)


@dataclass
class _Worker:
    """A process, and what it does at the moment."""

    slot: int
    process: BaseProcess
    pipe: Connection
    job: Job | None = None

    def obituary(self) -> Failure:
        self.process.join()
        code = self.process.exitcode or 0
        how = (
            f"was killed by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"ended with status {code}"
        )
        return Failure(f"its process {how}, twice; for lack of memory perhaps, which fewer --jobs need")


@dataclass(frozen=True)
class _Done:
    failure: Failure | None


def _work(pipe: Connection, plan: Plan, gpu: int | None) -> None:
    """A worker's life."""
    begin_worker()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = _visible(gpu)
    progress = RemoteProgress(pipe.send)
    with suppress(EOFError):
        while True:
            pipe.send(_Done(attempt(plan, pipe.recv(), progress)))


def _visible(gpu: int) -> str:
    """The name of a GPU for CUDA_VISIBLE_DEVICES, given its number among those that are visible now."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return names.split(",")[gpu] if names else str(gpu)
