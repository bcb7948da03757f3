"""What a cell answers without knowing the task: each rule guesses it, and the guessed task's network answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmark.images.labelled import LabelledImages
from benchmark.learning.fingerprints import NetworkFingerprints
from benchmark.learning.panel import Panel
from benchmark.storage.answers import Answers, Reference, read_answers, references
from benchmark.storage.inferred import Inferred, key_of_networks, lost_inferred, write_inferred
from benchmark.storage.records import Records
from benchmark.storage.state import State
from benchmark.streams.base import Stream
from benchmark.task_inference.answered import in_columns_of, surest
from benchmark.task_inference.guesses import Guessed, Guesses


class Inference:
    """The answers of one cell to images whose task is not known, after each number of tasks.

    If a rule asks how sure the networks are, each network is asked about all images. What it answers to the images of a
    task is asked for once, and kept in memory as long as that network does not change: of methods that isolate their
    tasks, T^2 evaluations give the answers after each of the T tasks. Rules that look at frozen features guess the task
    before any network is asked, so that a network is asked only about the images that are guessed to be of its task.

    Args:
        panel: the networks of the cell.
        stream: its tasks.
        rules: the rules.
        guesses: of the rules that look at frozen features; None if there are none.
        folder: the cell's.
    """

    def __init__(self, panel: Panel, stream: Stream, rules: Sequence[str], guesses: Guesses | None, folder: Path):
        self._panel = panel
        self._stream = stream
        self._rules = rules
        self._guesses = guesses
        self._folder = folder
        self._fingerprints = NetworkFingerprints(panel.answering)
        # (network, images), by the numbers of their tasks -> the fingerprint of the network, and its answers.
        self._known: dict[tuple[int, int], tuple[str, Answers]] = {}
        self._now: tuple[State, dict[int, str]] | None = None
        # After so many tasks all files that could be written are there.
        self._completed = 0

    def asked_together(self, state: State) -> Sequence[int]:
        """Return the tasks whose networks answer in one pass with any of them."""
        return tuple(state.tasks) if self._panel.is_together(state) else ()

    def remember(self, state: State, checksums: Mapping[str, str], images: int, by_task: Mapping[int, Answers]) -> None:
        """Take answers that an evaluation gave anyway.

        Args:
            checksums: the checksums of the state's files.
            images: the number of the task whose test images they answer.
            by_task: the number of a network's task -> its answers.
        """
        networks = self._networks(state, checksums, by_task)
        self._known |= {(task, images): (networks[task], answers) for task, answers in by_task.items()}

    def complete(self, state: State, records: Records, begin: Callable[[int], None]) -> None:
        """Write the files that are missing, as far as the networks still exist.

        Args:
            state: the state after all records.
            records: those of all its tasks.
            begin: called before each file, with the number of learned tasks.
        """
        for learned in lost_inferred(self._folder, records, self._rules, self._completed):
            begin(learned)
            key = key_of_networks(records[learned - 1], self._rules)
            write_inferred(self._folder, learned, self._after(learned, state, records), key)
        self._completed = len(records)

    def _after(self, learned: int, state: State, records: Records) -> Inferred:
        guessed = self._guesses.after(learned) if self._guesses else None
        together = self._panel.is_together(state)
        answers: dict[tuple[int, str], Answers] = {}
        widths = [self._panel.classes(task) for task in range(1, learned + 1)]
        if guessed and not together and guessed.bytes.keys() >= set(self._rules):
            given_to, evaluations = self._ask_the_guessed(learned, guessed, state, records)
        else:
            given_to = self._ask_all(learned, state, records)
            evaluations = passes(records[:learned], together)
        for images, given in given_to.items():
            for rule in self._rules:
                by_features = guessed.tasks.get((rule, images)) if guessed else None
                places = surest(given, rule) if by_features is None else by_features
                answers[images, rule] = in_columns_of(given, widths, places)
        return Inferred(
            answers, self._costs(learned, state, guessed), evaluations, guessed.evaluations if guessed else 0
        )

    def _ask_all(self, learned: int, state: State, records: Records) -> dict[int, list[Answers]]:
        """Return what the network of each task answers to the images of each task: images -> [tasks]."""
        tasks = range(1, learned + 1)
        for images in tasks:
            self._ask_missing(tasks, images, state, records)
        return {images: [self._known[task, images][1] for task in tasks] for images in tasks}

    def _ask_the_guessed(
        self, learned: int, guessed: Guessed, state: State, records: Records
    ) -> tuple[dict[int, list[Answers]], float]:
        """Ask the network of each task about its own images, and about those that a rule takes for its own.

        Returns:
            What the network of each task answers to the images of each task, images -> [tasks], with zeros where it was
            not asked; and the passes beyond those of the evaluations, where a part of a task's images is a part of a
            pass.
        """
        tasks, evaluations = range(1, learned + 1), 0.0
        given_to: dict[int, list[Answers]] = {images: [] for images in tasks}
        # The images inside: a network is made once for all tasks.
        for task in tasks:
            for images in tasks:
                if images == task:
                    self._ask_missing([task], images, state, records)
                    given_to[images].append(self._known[task, images][1])
                    continue
                test = self._stream.tasks[images - 1].test
                asked = np.any([guessed.tasks[rule, images] == task for rule in self._rules], axis=0)
                given_to[images].append(self._ask_about(state, task, test, asked))
                evaluations += float(asked.mean())
        return given_to, evaluations

    def _ask_about(self, state: State, task: int, test: LabelledImages, asked: npt.NDArray[np.bool_]) -> Answers:
        """Return what the network of a task answers to some of the images, with zeros for the others.

        It is asked anew after each task, so that what is computed in one pass does not depend on what was asked before.
        """
        answers = Answers(np.zeros(len(asked), np.int64), np.zeros(len(asked), np.float32))
        if asked.any():
            some = torch.from_numpy(np.flatnonzero(asked))
            given = self._panel.ask(state, task, LabelledImages(test.images[some], test.labels[some]), [task])
            answers.classes[asked] = given.by_task[task].classes
            answers.confidence[asked] = given.by_task[task].confidence
        return answers

    def _ask_missing(self, tasks: Sequence[int], images: int, state: State, records: Records) -> None:
        """Ask those of the networks whose answers to the images of a task are not known."""
        networks = self._networks(state, records[-1]["checksums"], tasks)
        missing = [task for task in tasks if self._known.get((task, images), ("",))[0] != networks[task]]
        if images in missing and (kept := self._kept(images, records)):
            self._known[images, images] = (networks[images], kept)
            missing.remove(images)
        together = missing and self._panel.is_together(state)
        for group in [missing] if together else [[task] for task in missing]:
            given = self._panel.ask(state, group[0], self._stream.tasks[images - 1].test, group)
            self.remember(state, records[-1]["checksums"], images, given.by_task)

    def _kept(self, images: int, records: Records) -> Answers | None:
        """The answers of a task's own network to its images, if the cell has kept them as they are wanted here."""
        entry = next(entry for entry in records[-1]["evaluated"] if entry["task"] == images)
        if "task" not in entry.get("answers", {}):
            return None
        reference = Reference.parse(entry["answers"]["task"])
        kept = read_answers(self._folder, records[reference.learned - 1]).get(reference.name)
        return kept if kept and self._panel.sureness.keys() <= kept.sureness.keys() else None

    def _costs(self, learned: int, state: State, guessed: Guessed | None) -> dict[str, dict[str, int]]:
        size = self._stream.tasks[learned - 1].image_size
        before = State(learned, state.shared, {task: state.tasks[task] for task in range(1, learned + 1)}, {})
        each = [self._panel.operations(before, task, size) for task in range(1, learned + 1)]
        costs = {}
        for rule in self._rules:
            if guessed is None or rule not in guessed.bytes:
                costs[rule] = {"bytes": 0, "flops_per_image": self._panel.operations_of_all(before, size)}
                continue
            # The network that answers is another for each guess: their mean.
            flops = guessed.feature_flops_per_image + guessed.flops_per_image[rule] + round(sum(each) / len(each))
            costs[rule] = {"bytes": guessed.bytes[rule], "flops_per_image": flops}
        return costs

    def _networks(self, state: State, checksums: Mapping[str, str], tasks: Iterable[int]) -> dict[int, str]:
        """The fingerprints of the networks of tasks."""
        if self._now is None or self._now[0] is not state:
            self._now = (state, {})
        known = self._now[1]
        for task in tasks:
            if task not in known:
                known[task] = self._fingerprints.of(state, checksums, task, self._panel.classes(task), "")
        return known


def passes(records: Records, together: bool) -> int:
    """How many passes over a task's test images the answers after the last task take, beyond those of its record.

    They are those of a run that was not interrupted: what is asked again after that does not count.

    Args:
        records: those of all tasks.
        together: whether one pass asks all networks.
    """
    last, learned = records[-1], len(records)
    before = {entry["task"]: entry["network"] for entry in records[-2]["evaluated"]} if learned > 1 else {}
    changed = {entry["task"] for entry in last["evaluated"] if before.get(entry["task"]) != entry["network"]}
    asked = {task for task, place in references(last).items() if place.learned == learned}
    found = 0
    for images in range(1, learned + 1):
        missing = learned if images == learned else len(changed)
        found += (missing > 0 and images not in asked) if together else missing - (images in asked)
    return found
