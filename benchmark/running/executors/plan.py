"""All that a worker needs to know about a run."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from benchmark.config import Settings
from benchmark.machine.gpu_share import limit_memory
from benchmark.planning.budgets import Budget
from benchmark.planning.preparation import Prepared, prepare_run
from benchmark.running.executors.cell_learner import CellLearner
from benchmark.storage.folder import RunFolder
from benchmark.streams.base import Stream
from methods.registry import load_plugin


@dataclass(frozen=True)
class Plan:
    """All that a worker needs to know about a run. It can be sent to another process.

    Attributes:
        settings: the run's settings.
        plugins: files that register methods.
        directory: the directory to which paths are relative.
        folder: the run's folder.
        orders, keep_states, verify: see CellLearner.
        names: the tasks' names when the run began; the current names if empty.
        id: see RunFolder.
        threads: the number of threads that a job may use.
        budgets: see Prepared.
        checkpoint_minutes: see CellLearner.
        stream: the pickled stream, for workers that reach its image files; None if workers must build it.
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
    share: float = 0.0
    checkpoint_minutes: float | None = None

    def with_stream(self, stream: Stream) -> Plan:
        """Return the plan for workers on this machine, which need not build a stream with images in files."""
        return replace(self, stream=pickle.dumps(stream)) if stream.in_files else self

    def sharing(self, machines: Sequence[int], workers: int) -> Plan:
        """Return the plan for workers that share the threads of machines; each worker is on one machine.

        Args:
            machines: the number of threads of each machine.
            workers: number of workers at the same time.
        """
        possible = range(1, max(machines) + 1)
        fitting = (each for each in possible if sum(threads // each for threads in machines) >= workers)
        return replace(self, threads=max(fitting, default=1))

    def learner(self, prepared: Prepared) -> CellLearner:
        """Return the object that does the jobs."""
        prepared = replace(prepared, stream=prepared.stream.renamed(self.names or prepared.stream.names))
        return CellLearner(
            prepared,
            RunFolder(self.folder, self.id),
            self.orders,
            self.keep_states,
            self.verify,
            self.checkpoint_minutes,
        )

    def prepare(self) -> Prepared:
        """Load in a worker what the run needs."""
        os.chdir(self.directory)
        torch.set_num_threads(self.threads)
        if self.share:
            limit_memory(self.share)
        for path in self.plugins:
            load_plugin(path)
        stream = None
        if self.stream:
            # The stream comes from the parent process. Its files may have been deleted since.
            with suppress(OSError, ValueError, TypeError):
                stream = pickle.loads(self.stream)  # noqa: S301
        return prepare_run(self.settings, note=lambda text: None, budgets=self.budgets, stream=stream, in_worker=True)
