"""All that a worker needs to know of a run."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from benchmark.config import Settings
from benchmark.planning.budgets import Budget
from benchmark.planning.preparation import Prepared, prepare_run
from benchmark.running.executors.cells import Cells
from benchmark.storage.folder import RunFolder
from benchmark.streams.base import Stream
from methods.registry import load_plugin


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
            # From the process that started this one. The files may have been cleared away in the meantime.
            with suppress(OSError, ValueError, TypeError):
                stream = pickle.loads(self.stream)  # noqa: S301
        return prepare_run(self.settings, note=lambda text: None, budgets=self.budgets, stream=stream)
