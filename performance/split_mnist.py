"""Split-MNIST on a small perceptron, in the harness and in a bare loop: the speed of a method."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmark.config import Settings, parse_methods
from benchmark.learning.training import Training
from benchmark.planning.preparation import Prepared, prepare_run
from benchmark.streams.base import Task
from methods.configured import configure
from performance.command import run_command
from performance.loops import BareNetwork, bare_loop, cell_of, harness_tasks

BATCH = 10


@dataclass(frozen=True)
class Speed:
    """The speed of one run.

    Attributes:
        training: seconds per iteration, in the tasks after the first.
        iterations: of all tasks.
        whole: seconds of the whole command, evaluations included; None if there is no command.
    """

    training: float
    iterations: int
    whole: float | None = None


@dataclass(frozen=True)
class SplitMNIST:
    """The tasks, and how the command line is told to learn the same.

    Attributes:
        prepared: the tasks and the perceptron.
        options: of `python -m benchmark run`.
    """

    prepared: Prepared
    options: tuple[str, ...]

    @classmethod
    def load(cls, data: Path, iterations: int | None) -> SplitMNIST:
        """Read the images, or download them.

        Args:
            data: the folder with MNIST/raw, as torchvision makes it.
            iterations: of each task; None for a whole epoch.

        Raises:
            UserError: they cannot be read.
        """
        # A tenth of the images is held out for validation.
        images = None if iterations is None else ceil(iterations * BATCH / 0.9)
        values: dict[str, Any] = {"stream": f"split-mnist:root={data}", "backbone": "mlp", "device": "cpu"}
        values["train_images"] = images
        settings = Settings(parse_methods("sgd"), **values)
        given = {**values, "epochs": 1, "batch_size": BATCH, "jobs": 1}
        words = [(f"--{name.replace('_', '-')}", str(value)) for name, value in given.items() if value is not None]
        return cls(prepare_run(settings, note=lambda text: None), tuple(word for pair in words for word in pair))

    def harness(self, method: str, seed: int) -> Speed:
        """Learn the tasks in this process, two epochs each, and then one epoch each by the command.

        Raises:
            RuntimeError: the command failed; the error has its output.
        """
        tasks = self.prepared.stream.tasks
        cell = cell_of(method, self.prepared.backbone, self.prepared.stream.most_classes, seed)
        seconds = harness_tasks(cell, tasks, _training(method))
        return Speed(_mean(seconds, tasks[1:]), sum(map(_steps, tasks)), self._command(method, seed))

    def bare(self, method: str, seed: int) -> Speed:
        """Learn each task after the first in a bare loop that knows only a method's recipe; two epochs each."""
        tasks = self.prepared.stream.tasks[1:]
        seconds = []
        for task in tasks:
            network = BareNetwork(self.prepared.backbone, len(task.classes))
            seconds.append(bare_loop(network, task.train, _training(method))[0])
        return Speed(_mean(seconds, tasks), sum(map(_steps, tasks)))

    def _command(self, method: str, seed: int) -> float:
        with tempfile.TemporaryDirectory() as temporary, patch.dict(os.environ, XDG_CACHE_HOME=temporary):
            command = [sys.executable, "-m", "benchmark", "run", "--methods", method, *self.options]
            ended = run_command([*command, "--seeds", f"{seed},", "--out", temporary, "--name", "mnist"])
        if ended.status != 0:
            raise RuntimeError(f"{' '.join(command)} failed: {ended.said}")
        return ended.seconds


def _training(method: str) -> Training:
    return Training(configure(method).recipe, epochs=2, batch_size=BATCH)


def _steps(task: Task) -> int:
    return ceil(len(task.train) / BATCH)


def _mean(seconds: Iterable[Iterable[float]], tasks: Sequence[Task]) -> float:
    """The mean seconds per step: of each task the fastest epoch, weighted by its steps."""
    total = sum(min(own) * _steps(task) for own, task in zip(seconds, tasks, strict=True))
    return total / sum(map(_steps, tasks))
