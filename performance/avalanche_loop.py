"""Avalanche's own strategies on its own tensors benchmark."""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from math import ceil
from typing import Any

from avalanche.benchmarks import tensors_benchmark
from avalanche.training.templates import SupervisedTemplate
from torch import nn

from benchmark.images.labelled import LabelledImages
from benchmark.learning.training import Training, make_optimizer
from performance.loops import CPU, seconds_per_step


class _Clock:
    """Notes when an epoch ends. A plugin would not do, because it is called several times a step."""

    ends: list[float]

    def training_epoch(self, **kwargs: Any) -> None:
        super().training_epoch(**kwargs)  # type: ignore[misc]
        self.ends.append(time.perf_counter())


def avalanche_loop(
    strategy: type[SupervisedTemplate],
    model: nn.Module,
    tasks: Sequence[LabelledImages],
    training: Training,
    **options: Any,
) -> list[list[float]]:
    """Learn tasks in turn, without evaluations; the output of Avalanche is thrown away.

    Args:
        strategy: of Avalanche.
        tasks: normalised images; task labels are 0, 1, ...
        training: optimiser, epochs and batch size; the learning rate stays constant.
        options: of the strategy.

    Returns:
        For each task, the seconds per step of each epoch after the first.
    """
    tensors = [(task.images, task.labels) for task in tasks]
    stream = tensors_benchmark(train_tensors=tensors, test_tensors=tensors, task_labels=range(len(tasks))).train_stream
    seconds = []
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), warnings.catch_warnings(action="ignore"):
        learner = type(strategy.__name__, (_Clock, strategy), {})(
            model=model,
            optimizer=make_optimizer(list(model.parameters()), training.recipe, CPU),
            criterion=nn.CrossEntropyLoss(),
            train_mb_size=training.batch_size,
            train_epochs=training.epochs,
            **options,
        )
        for task, experience in zip(tasks, stream, strict=True):
            learner.ends = []
            learner.train(experience, eval_streams=[], num_workers=0, pin_memory=False)
            seconds.append(seconds_per_step(learner.ends, ceil(len(task) / training.batch_size)))
    return seconds
