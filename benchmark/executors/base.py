"""What executors have in common."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from benchmark.budgets import Budget
from benchmark.cells import Cells, Job
from benchmark.config import Settings
from benchmark.files import StorageError
from benchmark.preparation import Prepared, prepare_run
from benchmark.progress import Progress
from benchmark.results import DIVERGED, FAILED, RunFolder
from benchmark.strategy import DivergedError
from benchmark.streams.base import Stream
from methods.errors import UserError, first_line
from methods.registry import load_plugin


@dataclass(frozen=True)
class Failure:
    """Why a job failed.

    Attributes:
        cause: in one line.
        traceback: empty where there is none, as when the process was killed.
        status: what becomes of its cell, "failed" or "diverged".
        stops: whether no other job could keep what it learns either.
    """

    cause: str
    traceback: str = ""
    status: str = FAILED
    stops: bool = False


@dataclass(frozen=True)
class Began:
    """A job begins."""

    job: Job


@dataclass(frozen=True)
class Ended:
    """A job has ended; `failure` is None where all went well."""

    job: Job
    failure: Failure | None


class Executor(Protocol):
    """Does jobs."""

    def run(self, jobs: Sequence[Job], progress: Progress) -> Generator[Began | Ended]:
        """Do all jobs, started in this order. Every job begins, perhaps more than once, and ends once."""


@dataclass(frozen=True)
class Plan:
    """All that a worker needs to know of a run, to be sent to another process.

    Attributes:
        settings: of the run.
        plugins: files that register methods.
        directory: to which paths are relative.
        folder: of the run.
        orders, keep_states, verify: see Cells.
        names: of the stream's tasks, as the run began; those of today if empty.
        id: see RunFolder.
        threads: that a job may use.
        budgets: see Prepared.
        stream: pickled, for workers that reach the files of its images; None for those that have to build it.
    """

    settings: Settings
    plugins: tuple[str, ...]
    directory: Path
    folder: Path
    orders: list[list[int]]
    keep_states: bool
    verify: bool
    threads: int = field(default_factory=torch.get_num_threads)
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    stream: bytes | None = None
    names: tuple[str, ...] = ()
    id: str | None = None

    def with_stream(self, stream: Stream) -> Plan:
        """The plan for workers on this machine, which need not build a stream whose images lie in files."""
        return replace(self, stream=pickle.dumps(stream)) if stream.in_files else self

    def sharing(self, machines: Sequence[int], workers: int) -> Plan:
        """The plan for workers that share out the threads of machines; each works on one of them.

        Args:
            machines: how many threads each has.
            workers: at once.
        """
        possible = range(1, max(machines) + 1)
        fitting = (each for each in possible if sum(threads // each for threads in machines) >= workers)
        return replace(self, threads=max(fitting, default=1))

    def cells(self, prepared: Prepared) -> Cells:
        """What does the jobs."""
        prepared = replace(prepared, stream=prepared.stream.renamed(self.names or prepared.stream.names))
        return Cells(prepared, RunFolder(self.folder, self.id), self.orders, self.keep_states, self.verify)

    def prepare(self) -> Prepared:
        """Load, in a worker, what the run needs."""
        os.chdir(self.directory)
        torch.set_num_threads(self.threads)
        for path in self.plugins:
            load_plugin(path)
        stream = None
        if self.stream:
            # The files may have been cleared away in the meantime.
            with suppress(OSError, ValueError, TypeError):
                stream = pickle.loads(self.stream)
        return prepare_run(self.settings, note=lambda text: None, budgets=self.budgets, stream=stream)


# The plan that this process works on, if it is a worker, and what it has loaded for it.
_at_work: tuple[Plan, Cells] | None = None


def attempt(plan: Plan, job: Job, progress: Progress) -> Failure | None:
    """Do a job in a worker, which loads what it needs before its first."""
    global _at_work
    if _at_work is None or _at_work[0] != plan:
        try:
            _at_work = plan, plan.cells(plan.prepare())
        except Exception as error:
            return _failure(error)
    return guarded(_at_work[1], job, progress)


def guarded(cells: Cells, job: Job, progress: Progress) -> Failure | None:
    """Do a job; whatever goes wrong, the others go on."""
    try:
        cells.do(job, progress)
    except Exception as error:
        return _failure(error)
    return None


def _failure(error: Exception) -> Failure:
    """Of a job, by the exception that is being handled."""
    return Failure(
        str(error) if isinstance(error, (UserError, DivergedError)) else first_line(error),
        traceback.format_exc(),
        DIVERGED if isinstance(error, DivergedError) else FAILED,
        isinstance(error, StorageError),
    )


@dataclass(frozen=True)
class Told:
    """A call of a method of Progress, on its way to the process that shows it."""

    method: str
    arguments: tuple[Any, ...]

    def tell(self, progress: Progress) -> None:
        getattr(progress, self.method)(*self.arguments)


class RemoteProgress:
    """A Progress of which everything is sent elsewhere.

    Args:
        send: takes a Told.
    """

    def __init__(self, send: Callable[[Told], object]):
        self._send = send

    def note(self, text: str) -> None:
        self._send(Told("note", (text,)))

    def cell(self, name: str, tasks: int, done: int, epochs: int) -> None:
        self._send(Told("cell", (name, tasks, done, epochs)))

    def task(self, name: str, number: int, task: str) -> None:
        self._send(Told("task", (name, number, task)))

    def epoch(self, name: str) -> None:
        self._send(Told("epoch", (name,)))

    def ended(self, name: str) -> None:
        self._send(Told("ended", (name,)))

    def failed(self, name: str, cause: str) -> None:
        self._send(Told("failed", (name, cause)))

    def warn(self, text: str) -> None:
        self._send(Told("warn", (text,)))
