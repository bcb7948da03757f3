"""Evaluates the tasks of a cell after each task, except those whose result is known."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmark.learning.answering import Answering
from benchmark.learning.evaluation import evaluate, evaluation_fingerprint, network_for
from benchmark.learning.fingerprints import NetworkFingerprints
from benchmark.learning.learner import Cell
from benchmark.learning.precision import Precision
from benchmark.storage.state import State
from benchmark.streams.base import Stream, Task
from methods.network import Network


class EvaluationChangedError(RuntimeError):
    """A repeated evaluation gave a different result."""


class Evaluations:
    """The evaluations of one cell; they share one network, which lives as long as this object.

    Args:
        cell: the cell.
        stream: its tasks.
        precision: of forward passes.
        verify: repeat known evaluations, each with a network of its own, and compare the results.
    """

    def __init__(self, cell: Cell, stream: Stream, precision: Precision, verify: bool):
        self.cell = cell
        self._stream = stream
        self._precision: Precision = precision
        self._verify = verify
        self._answering = Answering(cell)
        self._fingerprints = NetworkFingerprints(self._answering)

    def after(
        self,
        state: State,
        checksums: Mapping[str, str],
        known: dict[tuple[int, str], dict[str, Any]],
        numbers: Sequence[int],
    ) -> dict[str, Any]:
        """Return the accuracies on tasks, the newest last, as a part of the record.

        Args:
            checksums: the checksums of the state's files.
            known: (task, fingerprint) -> result; new results are added. The task is in the key, because two tasks with
                the same images may have the same files but give different answers.
            numbers: the tasks.

        Raises:
            EvaluationChangedError: a repeated evaluation gave a different result.
        """
        evaluated, new = [], 0
        began = time.perf_counter()
        for number in numbers:
            task = self._stream.tasks[number - 1]
            parts = evaluation_fingerprint(checksums, number, task.fingerprint)
            entry = known.get((number, parts))
            if entry is None:
                # The parts may differ only in values that the task does not use.
                used = self._fingerprints.of(state, checksums, number, len(task.classes), task.fingerprint)
                entry = known.get((number, used))
                if entry is None:
                    new += 1
                    accuracy = self._accuracy(self._answering.network(state, number, len(task.classes)), task)
                    entry = {"task": number, "accuracy": accuracy, "images": len(task.test)}
                entry = {**entry, "fingerprint": parts, "network": used}
                known[number, parts] = known[number, used] = entry
            if self._verify:
                self._compare(state, number, task, entry["accuracy"])
            evaluated.append(entry)
        seconds = time.perf_counter() - began
        operations = self._answering.operations(state, numbers[-1], len(task.classes), task.image_size)
        return {
            "evaluated": evaluated,
            "evaluations": new,
            "evaluation_seconds": seconds,
            "inference_flops_per_image": operations,
        }

    def _accuracy(self, network: Network, task: Task) -> float:
        return evaluate(network, task.test, self.cell.device, self._precision, self.cell.memory_format)

    def _compare(self, state: State, number: int, task: Task, known: float) -> None:
        accuracy = self._accuracy(network_for(self.cell, state, number, len(task.classes)), task)
        if accuracy != known:
            raise EvaluationChangedError(
                f"task {number} after {state.learned} tasks gives {accuracy}, and gave {known} before, although "
                "nothing that it depends on has changed"
            )
