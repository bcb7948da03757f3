"""Who does which job, and what becomes of jobs whose workers fail: with workers that only say what was planned."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from benchmark.progress.events import Event, Failure, JobBegan, JobEnded, Listener
from benchmark.running.executors.cells import Job
from benchmark.running.executors.crew import do_all

DIES = "dies"
FULL = Failure("full", memory=True)
BROKEN = Failure("assert", broken=True)
BAD = Failure("bad")


@dataclass(eq=False)
class Worker:
    crew: Crew
    place: int
    alone: bool
    job: Job = field(init=False)

    def give(self, job: Job) -> None:
        self.job = job
        self.crew.log.append(f"{job.name}@{self.place}{' alone' if self.alone else ''}")

    def stop(self) -> None:
        self.crew.log.append(f"stop {self.place}")

    def bury(self) -> None:
        self.crew.alive.remove(self)

    def obituary(self) -> Failure:
        assert self not in self.crew.alive
        return Failure("died")


class Crew:
    """Ends jobs in the order in which they began, as `ends` says; a job that is not in it ends well."""

    def __init__(self, devices: Sequence[int], retries: int = 1, **ends: list[Failure | str | None]):
        self.devices, self.retries, self.ends = devices, retries, ends
        self.log: list[str] = []
        self.alive: list[Worker] = []

    def start(self, place: int, alone: bool) -> Worker:
        worker = Worker(self, place, alone)
        for other in self.alive:
            assert other.place != place
            if alone or other.alone:
                assert self.devices[other.place] != self.devices[place]
        self.alive.append(worker)
        return worker

    def wait(self, busy: Sequence[Worker], tell: Listener) -> Iterator[tuple[Worker, JobEnded | None]]:
        worker = busy[0]
        planned = self.ends.get(worker.job.name)
        end = planned.pop(0) if planned else None
        if end == DIES:
            yield worker, None
        else:
            assert not isinstance(end, str)
            yield worker, JobEnded(worker.job.name, end)


def do(crew: Crew, names: str) -> tuple[str, dict[str, str | None]]:
    """What happens to jobs: what the crew notes, and each job's cause of failure. Each begins, and ends once."""
    told: list[Event] = []
    do_all(deque(Job(name, (name, 0, 0)) for name in names), crew, told.append)
    assert not crew.alive
    ends = {event.job: event.failure and event.failure.cause for event in told if isinstance(event, JobEnded)}
    assert len(ends) == sum(isinstance(event, JobEnded) for event in told) == len(names)
    begun = [entry.partition("@")[0] for entry in crew.log if "@" in entry]
    assert [event.job for event in told if isinstance(event, JobBegan)] == begun
    return ", ".join(crew.log), ends


def test_workers_do_one_job_after_another():
    log, ends = do(Crew([0, 0], a=[BAD]), "abcd")
    assert log == "a@0, b@1, c@0, d@1, stop 0, stop 1"
    assert ends == {"a": "bad", "b": None, "c": None, "d": None}


def test_a_job_whose_worker_dies_goes_on_in_another():
    log, ends = do(Crew([0], a=[DIES, None], b=[DIES, DIES]), "abc")
    assert log == "a@0, a@0, b@0, b@0, c@0, stop 0"
    assert ends == {"a": None, "b": "died", "c": None}
    assert do(Crew([0], retries=3, a=[DIES] * 4), "a") == ("a@0, a@0, a@0, a@0", {"a": "died"})


def test_a_worker_that_lost_its_gpu_is_stopped():
    log, ends = do(Crew([0], a=[BROKEN, None], b=[BROKEN, BROKEN]), "abc")
    assert log == "a@0, stop 0, a@0, b@0, stop 0, b@0, stop 0, c@0, stop 0"
    assert ends == {"a": None, "b": "assert, in each of 2 processes; CUDA_LAUNCH_BLOCKING=1 shows where", "c": None}


def test_a_large_job_waits_until_its_gpu_is_free():
    log, ends = do(Crew([0, 0], a=[FULL, None]), "abcd")
    assert log == "a@0, b@1, stop 0, c@0, d@1, stop 0, stop 1, a@0 alone, stop 0"
    assert ends == dict.fromkeys("abcd")


def test_large_jobs_have_one_gpu_each():
    """The second one begins when both workers on the other GPU are done."""
    log, ends = do(Crew([0, 0, 1, 1], a=[FULL, None], b=[FULL, None]), "abcd")
    assert log == "a@0, b@1, c@2, d@3, stop 0, stop 1, a@0 alone, stop 2, stop 3, b@2 alone, stop 0, stop 2"
    assert ends == dict.fromkeys("abcd")


def test_a_job_that_is_too_large_alone_fails():
    log, ends = do(Crew([0, 0], a=[FULL, FULL]), "ab")
    assert log == "a@0, b@1, stop 0, stop 1, a@0 alone, stop 0"
    assert ends == {"a": "alone on a whole GPU, as with --gpus-per-cell 1: full", "b": None}


@pytest.mark.parametrize("trouble", [DIES, BROKEN])
def test_a_large_job_in_trouble_is_alone_again(trouble: Failure | str):
    log, ends = do(Crew([0, 0], a=[FULL, trouble, None]), "ab")
    assert log.count("a@") == 3
    assert log.count(" alone") == 2
    assert ends == {"a": None, "b": None}


def test_workers_without_jobs_are_ended_for_one_that_waits_for_a_gpu():
    """On a cluster, a worker that is alone begins only when the others have left their shares of its GPU."""
    crew = Crew([0, 1, 2], a=[FULL, None])
    log, _ = do(crew, "abc")
    # While the large job waits, the workers of the other jobs finish, and are ended.
    assert log == "a@0, b@1, c@2, stop 0, a@0 alone, stop 1, stop 2, stop 0"


def test_all_workers_are_ended_after_an_exception():
    def tell(event: Event) -> None:
        if isinstance(event, JobEnded):
            raise KeyboardInterrupt

    crew = Crew([0, 0])
    with pytest.raises(KeyboardInterrupt):
        do_all(deque([Job("a", ("a", 0, 0)), Job("b", ("b", 0, 0))]), crew, tell)
    assert not crew.alive
