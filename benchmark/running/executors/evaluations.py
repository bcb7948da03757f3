"""Evaluates the tasks of a cell after each task, except those whose answers are known."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.learning.answering import Answering
from benchmark.learning.evaluation import answers_among, evaluation_fingerprint, network_for
from benchmark.learning.fingerprints import NetworkFingerprints
from benchmark.learning.learner import Cell
from benchmark.learning.precision import Precision
from benchmark.results.answers import accuracy
from benchmark.storage.answers import DERIVED, Answers, Reference, checksum, given_after, pack_answers, read_answers
from benchmark.storage.records import Records
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
        folder: the cell's, where known answers are.
    """

    def __init__(self, cell: Cell, stream: Stream, precision: Precision, verify: bool, folder: Path):
        self.cell = cell
        self._stream = stream
        self._precision: Precision = precision
        self._verify = verify
        self._folder = folder
        self._answering = Answering(cell)
        self._fingerprints = NetworkFingerprints(self._answering)

    def after(
        self,
        state: State,
        checksums: Mapping[str, str],
        records: Records,
        numbers: Sequence[int],
    ) -> tuple[dict[str, Any], bytes]:
        """Return the accuracies on tasks, the newest last, as a part of the record, and the file of new answers.

        Args:
            checksums: the checksums of the state's files.
            records: those of earlier tasks, whose results are known.
            numbers: the tasks.

        Raises:
            EvaluationChangedError: a repeated evaluation gave a different result.
        """
        # The task is in the key, because two tasks with the same images may have the same files but other answers.
        known = {
            (entry["task"], entry[key]): entry
            for record in records
            for entry in record["evaluated"]
            for key in ("fingerprint", "network")
        }
        evaluated: list[dict[str, Any]] = []
        new: dict[Reference, Answers] = {}
        evaluations = 0
        began = time.perf_counter()
        for number in numbers:
            task = self._stream.tasks[number - 1]
            data = self.cell.asked(state.learned, task.fingerprint)
            parts = evaluation_fingerprint(checksums, number, data)
            entry = known.get((number, parts))
            if entry is None:
                # The parts may differ only in values that the task does not use.
                used = self._fingerprints.of(state, checksums, number, len(task.classes), data)
                entry = known.get((number, used))
                if entry is None:
                    evaluations += 1
                    network = self._answering.network(state, number, len(task.classes))
                    given = self._answers(network, state.learned, number)
                    places = {who: Reference.to_task(number, state.learned, who) for who in given}
                    new |= {places[who]: answers for who, answers in given.items()}
                    entry = {
                        "task": number,
                        **self._accuracies(given, task),
                        "images": len(task.test),
                        "answers": {who: str(place) for who, place in places.items()},
                    }
                entry = {**entry, "fingerprint": parts, "network": used}
            if self._verify:
                self._compare(state, entry, task, new, records)
            evaluated.append(entry)
        content = pack_answers(new)
        seconds = time.perf_counter() - began
        operations = self._answering.operations(state, numbers[-1], len(task.classes), task.image_size)
        return {
            "evaluated": evaluated,
            "evaluations": evaluations,
            "evaluation_seconds": seconds,
            "inference_flops_per_image": operations,
            "answers": checksum(content),
        }, content

    def again(self, state: State, records: Records, learned: int) -> bytes:
        """Return once more the file of the answers that were given after `learned` tasks.

        Args:
            state: gives the same answers as the state then.
            records: those of all tasks in the state.
        """
        again = {}
        for number in given_after(records, learned):
            network = self._answering.network(state, number, len(self._stream.tasks[number - 1].classes))
            for who, answers in self._answers(network, learned, number).items():
                again[Reference.to_task(number, learned, who)] = answers
        return pack_answers(again)

    def _answers(self, network: Network, learned: int, number: int) -> dict[str, Answers]:
        """Return the answers to a task after `learned` tasks, by their names: the scenario's own come first."""
        choices: dict[str, range] = {self.cell.scenario: range(network.classes)}
        if self.cell.scenario == "class":
            choices[DERIVED] = self.cell.columns(learned)[number - 1]
        test = self._stream.tasks[number - 1].test
        how = (test, self.cell.device, self._precision, self.cell.memory_format)
        return dict(zip(choices, answers_among(list(choices.values()), network, *how), strict=True))

    def _accuracies(self, given: Mapping[str, Answers], task: Task) -> dict[str, float]:
        """Return the accuracy of the scenario's own answers, and of those that are derived, if there are any."""
        found = {who: accuracy(answers.classes, task.test.labels) for who, answers in given.items()}
        return {"accuracy": found.pop(self.cell.scenario), **found}

    def _compare(
        self,
        state: State,
        entry: Mapping[str, Any],
        task: Task,
        new: Mapping[Reference, Answers],
        records: Records,
    ) -> None:
        """Evaluate again, and compare with the result in an entry of the record.

        Args:
            new: answers that are in no file yet.
            records: those of earlier tasks.

        Raises:
            EvaluationChangedError: the results differ.
        """
        number = entry["task"]
        network = network_for(self.cell, state, number, len(task.classes))
        given = self._answers(network, state.learned, number)
        for kind, found in self._accuracies(given, task).items():
            if found != entry[kind]:
                raise EvaluationChangedError(
                    f"task {number} after {state.learned} tasks gives {found}, and gave {entry[kind]} before, although "
                    "nothing that it depends on has changed"
                )
        # An earlier version of the program kept none.
        for who, text in entry.get("answers", {}).items():
            reference = Reference.parse(text)
            before = new[reference].as_kept() if reference in new else self._kept(reference, records)
            if before is not None and before != given[who].as_kept():
                raise EvaluationChangedError(
                    f"task {number} after {state.learned} tasks gives other answers than before, although nothing "
                    "that they depend on has changed"
                )

    def _kept(self, reference: Reference, records: Records) -> Answers | None:
        return read_answers(self._folder, records[reference.learned - 1]).get(reference.name)
