"""Runs jobs on a cluster with Slurm. Submitit submits them, and they tell what happens in files of the run's folder."""

from __future__ import annotations

import json
import logging
import os
import time
import typing
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import submitit
from filelock import FileLock
from submitit.core.utils import DelayedSubmission, FailedSubmissionError, UncompletedJobError

from benchmark.config import Slurm
from benchmark.files import beside, uninterrupted, writing
from benchmark.progress.events import Event, Failure, JobEnded, Listener, Placed, Warned
from benchmark.running.executors.base import attempt
from benchmark.running.executors.cells import Job
from benchmark.running.executors.crew import do_all
from benchmark.running.executors.plan import Plan
from benchmark.storage.provenance import machine
from benchmark.storage.submitted import SUBMITTED, Submitted, read_submitted, write_submitted
from methods.errors import UserError, first_line

# How often a job is submitted again if it dies: its learned tasks are in the run's folder.
_RETRIES = 1

# How long to wait before reading again what the jobs tell, in seconds. Many jobs make many requests to a file system
# that others use too.
_WAITS = {"slurm": 5.0, "local": 0.2, "debug": 0.0}

# How long what a job wrote may take to be seen on another machine, in seconds.
_LAG = 30

# The options that submitit takes for every kind of cluster; the others are those of sbatch.
_GENERAL = ("timeout_min", "cpus_per_task", "gpus_per_node", "mem_gb")
_OF_SBATCH = (
    *("partition", "account", "qos", "constraint", "gres", "nodelist", "exclude"),
    *("signal_delay_s", "array_parallelism"),
)

_KINDS = {kind.__name__: kind for kind in typing.get_args(Event)}


@dataclass(frozen=True)
class SlurmExecutor:
    """Runs each job of a run as a job of Slurm.

    Attributes:
        plan: the run's plan, with the threads of a job, and 1 as the share of a GPU if it has one.
        slurm: how jobs are submitted.
        places: the most jobs that are submitted at the same time; Slurm lets some of them wait.
        workers: the most jobs that run at the same time.
    """

    plan: Plan
    slurm: Slurm
    places: int
    workers: int

    @property
    def share(self) -> float:
        return self.plan.share

    def run(self, jobs: deque[Job], tell: Listener) -> None:
        """See Executor.

        Raises:
            UserError: the jobs cannot be submitted.
        """
        # It would print into the progress.
        logging.getLogger("submitit").setLevel(logging.CRITICAL)
        crew = _Submissions(self)
        try:
            do_all(jobs, crew, tell)
        finally:
            if crew.cancelled:
                tell(Warned(f"{crew.cancelled} submitted jobs had not ended, and were cancelled"))


class _Submissions:
    """The jobs that are submitted; see Crew. A worker is a place for one job of Slurm after the other."""

    retries = _RETRIES

    def __init__(self, executor: SlurmExecutor):
        self._plan, self._slurm = executor.plan, executor.slurm
        self._folder = executor.plan.folder / SUBMITTED
        self._is_slurm = executor.slurm.cluster == "slurm"
        self.devices = range(executor.places)
        self.cancelled = 0
        with writing(executor.plan.folder):
            self._folder.mkdir(exist_ok=True)
            self._submitter = _submitter(self._folder, executor.plan.folder.name, executor.slurm)
        # Those of a process that was killed. Only Slurm can tell whether such jobs still exist.
        self._left = {job.name: job for job in read_submitted(executor.plan.folder, "slurm")} if self._is_slurm else {}
        self._known: list[Submitted] = []

    def start(self, place: int, alone: bool) -> _Worker:
        return _Worker(place, alone, self)

    def wait(self, busy: Sequence[_Worker], tell: Listener) -> Iterator[tuple[_Worker, JobEnded | None]]:
        self._submit([worker for worker in busy if worker.submission is None])
        time.sleep(_WAITS[self._slurm.cluster])
        for worker in busy:
            # Asked first, so that all that an ended job has told is there to be read.
            ended = worker.has_ended()
            end = None
            for event in worker.news():
                if isinstance(event, JobEnded):
                    end = event
                else:
                    tell(event)
            if end or (ended and worker.is_silent(_LAG if self._is_slurm else 0)):
                self.let_go(worker)
                yield worker, end and _alone(end)

    def let_go(self, worker: _Worker) -> None:
        """Forget a job that has ended."""
        submission, worker.submission = worker.submission, None
        if submission is None:
            return
        worker.forget_news()
        self._known = [job for job in self._known if job.id != submission.job_id]
        write_submitted(self._plan.folder, self._slurm.cluster, self._known)
        # On this machine, its process ends at once, and nobody else waits for that.
        while self._slurm.cluster == "local" and not submission.done():
            time.sleep(0.02)

    def _submit(self, workers: Sequence[_Worker]) -> None:
        """Submit the jobs of workers, all at once, so that Slurm gets them as one array."""
        new = []
        for worker in workers:
            left = self._left.pop(worker.job.name, None)
            if left:
                worker.begin(submitit.SlurmJob(self._folder, left.id), self._folder / left.news)
                self._known.append(left)
            else:
                new.append(worker)
        calls = [_Call(self._plan, worker.job, self._folder / f"{uuid.uuid4().hex}.jsonl") for worker in new]
        # What is submitted is also noted, so that it can be cancelled.
        with uninterrupted():
            for worker, call, submission in zip(new, calls, self._submitted(calls), strict=True):
                worker.begin(submission, call.news)
                self._known.append(Submitted(submission.job_id, worker.job.name, call.news.name))
            if workers and self._slurm.cluster != "debug":
                write_submitted(self._plan.folder, self._slurm.cluster, self._known)

    def _submitted(self, calls: Sequence[_Call]) -> list[submitit.Job[None]]:
        if not calls:
            return []
        try:
            with _errors_in(self._folder / "submitit.err"), _own_modules():
                return self._submitter.submit_array(calls)
        except (UncompletedJobError, FailedSubmissionError, OSError) as error:
            raise UserError(
                f"--executor slurm: the jobs cannot be submitted ({first_line(error)}); give it other options, or ask "
                "those who run the cluster"
            ) from error


@dataclass(eq=False)
class _Worker:
    """A place for a job; see Worker.

    Attributes:
        submission: the job of Slurm that does its job; None before it is submitted, and after it has ended.
        last: that job, or the one before.
    """

    place: int
    alone: bool
    crew: _Submissions
    job: Job = field(init=False)
    submission: submitit.Job[None] | None = None
    last: submitit.Job[None] = field(init=False)
    _news: Path = field(init=False)
    _read: int = 0
    _ended: float | None = None

    def give(self, job: Job) -> None:
        self.job = job

    def begin(self, submission: submitit.Job[None], news: Path) -> None:
        """Remember the job of Slurm, and the file in which it tells what happens."""
        self.submission = self.last = submission
        self._news, self._read, self._ended = news, 0, None

    def has_ended(self) -> bool:
        return self.submission is not None and self.submission.done()

    def is_silent(self, seconds: float) -> bool:
        """Whether the job has ended that long ago. What it told may not be seen here at once."""
        self._ended = self._ended or time.monotonic()
        return time.monotonic() - self._ended >= seconds

    def news(self) -> Iterator[Event]:
        """Yield what the job has told since the last call."""
        with suppress(FileNotFoundError), self._news.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._read += len(line)
                # A process that was killed leaves half a line.
                with suppress(ValueError):
                    yield _event(line)

    def forget_news(self) -> None:
        self._news.unlink(missing_ok=True)

    def stop(self) -> None:
        if self.submission is not None and not self.submission.done():
            self.crew.cancelled += 1
            self.submission.cancel(check=False)

    def bury(self) -> None:
        self.crew.let_go(self)

    def obituary(self) -> Failure:
        log = self.last.paths.stderr
        state = f" ({self.last.state})" if isinstance(self.last, submitit.SlurmJob) else ""
        last = _last_line(log)
        return Failure(
            f"job {self.last.job_id}, which learned {self.job.key[0]}, ended before its work was done{state}, twice; "
            f"its log is {log}{last and f', which ends with: {last}'}"
        )


@dataclass(frozen=True)
class _Call:
    """What a job of Slurm does. Slurm, or submitit, may call it again if the job was interrupted."""

    plan: Plan
    job: Job
    news: Path

    def __call__(self) -> None:
        # A job that was cancelled, or of which nobody knows any more, may still work: it is waited for.
        with FileLock(beside(self.news.with_name(self.job.name), ".lock")).acquire(poll_interval=1):
            self._tell(Placed(self._machine()))
            self._tell(JobEnded(self.job.name, attempt(self.plan, self.job, self._tell)))

    def checkpoint(self) -> DelayedSubmission:
        """Return what goes on after an interruption: all that was learned is in the run's folder."""
        return DelayedSubmission(self)

    def _machine(self) -> dict[str, Any]:
        here = machine("cuda" if self.plan.share else "cpu")
        return {**here, "hardware": here["hardware"] | {"threads": self.plan.threads}}

    def _tell(self, event: Event) -> None:
        # Closed each time: only then do other machines see it.
        with self.news.open("a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps([type(event).__name__, asdict(event)])}\n")


def _event(line: bytes) -> Event:
    """Return the event in a line.

    Raises:
        ValueError: it holds none.
    """
    name, values = json.loads(line)
    if values.get("failure"):
        values["failure"] = Failure(**values["failure"])
    event: Event = _KINDS[name](**values)
    return event


def _alone(end: JobEnded) -> JobEnded:
    """Return the end of a job that has had a GPU for itself: there is none with more memory to try it on again."""
    return replace(end, failure=end.failure and replace(end.failure, memory=False))


def _submitter(folder: Path, name: str, slurm: Slurm) -> submitit.AutoExecutor:
    """Return what submits jobs."""
    # Submitit reads only the options of the chosen cluster.
    times = {f"{cluster}_max_num_timeout": slurm.max_num_timeout for cluster in ("slurm", "local")}
    submitter = submitit.AutoExecutor(folder, cluster=slurm.cluster, **times)
    options = {name: getattr(slurm, name) for name in _GENERAL}
    options |= {f"slurm_{name}": getattr(slurm, name) for name in _OF_SBATCH}
    # Newer versions of srun do not take the number from sbatch.
    srun = [f"--cpus-per-task={slurm.cpus_per_task}"]
    given = {option: value for option, value in options.items() if value}
    submitter.update_parameters(name=name, slurm_srun_args=srun, **given)
    return submitter


@contextmanager
def _own_modules() -> Iterator[None]:
    """Let jobs that are submitted in the block import this program, and not modules of the user's of the same name.

    They begin with `python -m`, which looks in the current folder first. Jobs inherit the environment.
    """
    home = str(Path(__file__).resolve().parents[3])
    path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
    given = {"PYTHONSAFEPATH": "1", "PYTHONPATH": path}
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _errors_in(path: Path) -> Iterator[None]:
    """Let processes that start in the block print errors into a file, not into the progress.

    Submitit's own processes on this machine would print a traceback there when they are cancelled.
    """
    before = os.dup(2)
    try:
        with path.open("ab") as file:
            os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def _last_line(log: Path) -> str:
    """Return the last line of a log that is not empty; empty if there is none."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
