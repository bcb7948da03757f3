"""Evaluates the tasks of a cell after each task, except those whose answers are known."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.learning.evaluation import evaluation_fingerprint
from benchmark.learning.fingerprints import NetworkFingerprints
from benchmark.learning.panel import Given, Panel
from benchmark.results.answers import accuracy
from benchmark.running.executors.inference import Inference
from benchmark.storage.answers import Answers, Reference, checksum, given_after, pack_answers, read_answers
from benchmark.storage.records import Records
from benchmark.storage.state import State
from benchmark.streams.base import Stream, Task


class EvaluationChangedError(RuntimeError):
    """A repeated evaluation gave a different result."""


class Evaluations:
    """The evaluations of one cell; they share one network, which lives as long as this object.

    Args:
        panel: the networks of the cell.
        stream: its tasks.
        verify: repeat known evaluations, each with a network of its own, and compare the results.
        folder: the cell's, where known answers are.
        inference: gives answers without knowing the task, if they are wanted.
    """

    def __init__(self, panel: Panel, stream: Stream, verify: bool, folder: Path, inference: Inference | None = None):
        self.cell = panel.cell
        self._panel = panel
        self._stream = stream
        self._verify = verify
        self._folder = folder
        self._inference = inference
        self._fingerprints = NetworkFingerprints(panel.answering)

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
        together = self._inference.asked_together(state) if self._inference else ()
        began = time.perf_counter()
        for number in numbers:
            task = self._stream.tasks[number - 1]
            data = self.cell.data_key(state.learned, task.fingerprint)
            parts = evaluation_fingerprint(checksums, number, data)
            entry = known.get((number, parts))
            if entry is None:
                # The parts may differ only in values that the task does not use.
                used = self._fingerprints.of(state, checksums, number, len(task.classes), data)
                entry = known.get((number, used))
                if entry is None:
                    evaluations += 1
                    given = self._ask(self._panel, state, number, together)
                    if self._inference:
                        self._inference.remember(state, checksums, number, given.by_task)
                    places = {who: Reference.to_task(number, state.learned, who) for who in given.own}
                    new |= {places[who]: answers for who, answers in given.own.items()}
                    entry = {
                        "task": number,
                        **self._accuracies(given.own, task),
                        "images": len(task.test),
                        "answers": {who: str(place) for who, place in places.items()},
                    }
                entry = {**entry, "fingerprint": parts, "network": used}
            if self._verify:
                self._compare(state, entry, task, new, records)
            evaluated.append(entry)
        content = pack_answers(new)
        seconds = time.perf_counter() - began
        operations = self._panel.operations(state, numbers[-1], task.image_size)
        return {
            "evaluated": evaluated,
            "evaluations": evaluations,
            "evaluation_seconds": seconds,
            "inference_flops_per_image": operations,
            "answers": checksum(content),
        }, content

    def complete(self, state: State, records: Records, begin: Callable[[int], None]) -> None:
        """Write the answers without knowing the task that are missing.

        Args:
            records: those of all tasks in the state.
            begin: called before each file, with the number of learned tasks.
        """
        if self._inference and records:
            self._inference.complete(state, records, begin)

    def again(self, state: State, records: Records, learned: int) -> bytes:
        """Return once more the file of the answers that were given after `learned` tasks.

        Args:
            state: gives the same answers as the state then.
            records: those of all tasks in the state.
        """
        again = {}
        for number in given_after(records, learned):
            for who, answers in self._ask(self._panel, state, number).own.items():
                again[Reference.to_task(number, learned, who)] = answers
        return pack_answers(again)

    def _ask(self, panel: Panel, state: State, number: int, together: Sequence[int] = ()) -> Given:
        """Return the answers to the test images of a task."""
        return panel.ask(state, number, self._stream.tasks[number - 1].test, together)

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
        given = self._ask(self._panel.anew(), state, number).own
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
