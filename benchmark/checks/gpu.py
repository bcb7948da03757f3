"""The contract of a method on a GPU. It is tested on a pretended one, so that it needs none."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast
from unittest.mock import patch

import torch
from torch import Tensor, nn

from benchmark.checks.base import Check, WrongError
from benchmark.checks.pretended.cuda import MEMORY, pretended_gpu
from benchmark.checks.pretended.log import Log
from benchmark.checks.pretended.places import is_on_gpu
from benchmark.checks.subject import MethodSubject, flat
from benchmark.learning.clock import Clock
from benchmark.learning.evaluation import evaluate, network_for
from benchmark.learning.learner import Cell, LearnedTask, learn, start
from benchmark.learning.strategy import Strategy
from benchmark.learning.training import Training
from benchmark.streams.base import Task
from methods.method import Method
from methods.step import Step

DEVICE = torch.device("cuda")


def learn_on_gpu(cell: Cell, tasks: Sequence[Task], training: Training, log: Log) -> list[LearnedTask]:
    """Learn tasks on the pretended GPU, and tell the log when steps begin and end.

    Args:
        cell: a cell of any device.
        tasks: the tasks to learn, from the first one on.
        training: how.
        log: of `pretended_gpu`; its launches are those of the last task.

    Raises:
        DeviceError: an operator gets tensors of several devices.
        WaitError: a step waits, the first one of a task left out.
    """
    there = replace(cell, device=DEVICE, make_method=lambda: _watched(cell.make_method(), log))
    state, found = start(there), []
    # The clock waits a few times in an epoch, and no more in long ones.
    with patch.object(Clock, "_now", lambda clock: time.perf_counter()):
        try:
            for task in tasks:
                log.launches.clear()
                found.append(learn(there, state, task, training))
                state = found[-1].state
        finally:
            log.end_steps()
    return found


def _watched(method: Method, log: Log) -> Method:
    """Return the method, which tells the log now when steps begin and end."""
    before, after = method.before_training_epoch, method.after_training_epoch

    def begin(step: Step) -> None:
        before(step)
        log.begin_steps(lambda: cast(Strategy, step).steps)

    def end(step: Step) -> None:
        log.end_steps()
        after(step)

    method.before_training_epoch, method.after_training_epoch = begin, end  # type: ignore[method-assign]
    return method


def tensors_of(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield (name, tensor) of all tensors that the modules hold, those that are neither parameters nor buffers too."""
    for prefix, module in network.named_modules(prefix="network"):
        own = {**vars(module), **module._parameters, **module._buffers}
        yield from ((f"{prefix}.{name}", value) for name, value in own.items() if isinstance(value, Tensor))


def runs_on_a_gpu(subject: MethodSubject, free: int = MEMORY, **changes: Any) -> str | None:
    """On a GPU it mixes no devices, a step does not wait, its state is on the CPU, and its network is not.

    Args:
        subject: the method.
        free: bytes of the GPU that are free.
        changes: fields of Training that are changed.
    """
    with pretended_gpu(free, strict=not subject.foreign) as log:
        cell = replace(subject.cell(), device=DEVICE)
        state = learn_on_gpu(cell, subject.tasks, subject.training(**changes), log)[-1].state
        for name, tensor in flat(state).items():
            if is_on_gpu(tensor):
                raise WrongError(f"'{name}' is stored on the GPU; let stored keep the tensors on the CPU")
        for number, task in enumerate(subject.tasks, 1):
            network = network_for(cell, state, number, len(task.classes))
            for name, tensor in tensors_of(network):
                if not is_on_gpu(tensor):
                    raise WrongError(f"'{name}' is on the CPU when a task answers on a GPU; make it a buffer")
            evaluate(network, task.test, DEVICE)
    waits = [wait.cause for wait in log.waits if wait.step > 1]
    told = f"on a GPU it waits in each step: {waits[0]}" if waits else None
    # The method has caught the error. But nobody here can mend the plugin of another library.
    if told and not subject.foreign:
        raise WrongError(f"{told}; {GPU_CHECK.remedy}")
    return told


GPU_CHECK: Check[MethodSubject] = Check(
    "runs on a GPU, where a step does not wait",
    runs_on_a_gpu,
    "make tensors on the device of others, and read no values of tensors there",
)
