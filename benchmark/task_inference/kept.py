"""What the rules on frozen features keep, in files.

`task-<k>` has what is kept of the k-th task alone. It is the same in each order of the tasks. `shared-<i>` has what is
kept of the first i tasks together; only the newest of these files stays. What is missing or damaged is learned again
from the training images, to the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.learning.seeds import derive
from benchmark.storage.sealed_tensors import Tensors, read_tensors, write_tensors
from benchmark.streams.base import Stream, Task
from benchmark.task_inference.base import Features, Labels
from benchmark.task_inference.feature_rules import FEATURE_RULES
from benchmark.task_inference.frozen import FrozenBackbone

# Rule -> what it keeps.
_ByRule = dict[str, Tensors]


@dataclass(frozen=True)
class Kept:
    """What rules keep after some tasks.

    Attributes:
        own: for each task, rule -> what it keeps of that task.
        shared: rule -> what it keeps of all these tasks together.
    """

    own: Sequence[Mapping[str, Tensors]]
    shared: Mapping[str, Tensors]

    def of(self, rule: str) -> tuple[list[Tensors], Tensors]:
        """Return what one rule keeps: of each task, and of all together."""
        return [each[rule] for each in self.own], self.shared[rule]

    def bytes(self, rule: str) -> int:
        """Return the bytes of all values that a rule keeps."""
        own, shared = self.of(rule)
        return sum(values.nbytes for tensors in (*own, shared) for values in tensors.values())


@dataclass(frozen=True)
class KeptFiles:
    """The files of what rules keep, in a folder. One process at a time may write them.

    Attributes:
        folder: the folder.
        names: the tasks' names, in the order of learning.
        seed: the seed of the repetition.
        rules: names of rules on features.
    """

    folder: Path
    names: tuple[str, ...]
    seed: int
    rules: tuple[str, ...]

    def after(self, learned: int) -> Kept | None:
        """Return what the rules keep after the first `learned` tasks; None if a file is missing or damaged."""
        own = [self.read_own(number) for number in range(1, learned + 1)]
        together, shared = self.newest_shared(learned)
        known = [each for each in own if each is not None]
        return Kept(known, shared) if len(known) == learned == together else None

    def read_own(self, number: int) -> _ByRule | None:
        """Return what is kept of a task alone; None if its file is missing or damaged."""
        found = read_tensors(self._own_path(number), self._about_own(number))
        return None if found is None else self._by_rule(found)

    def write_own(self, number: int, found: _ByRule) -> None:
        """Write what is kept of a task alone."""
        write_tensors(self._own_path(number), _flat(found), self._about_own(number))

    def newest_shared(self, learned: int) -> tuple[int, _ByRule]:
        """Return what is kept together in the newest usable file of at most `learned` tasks, and of how many it is."""
        if not any(FEATURE_RULES[rule].shares for rule in self.rules):
            return learned, self._by_rule({})
        for number in range(learned, 0, -1):
            found = read_tensors(self._shared_path(number), self._about_shared(number))
            if found is not None:
                return number, self._by_rule(found)
        return 0, self._by_rule({})

    def write_shared(self, learned: int, shared: _ByRule) -> None:
        """Write what is kept of the first `learned` tasks together."""
        # If there are later files, these tasks were learned again for an older one. The newest stays what it is.
        if max(self._known_shared(), default=0) <= learned:
            write_tensors(self._shared_path(learned), _flat(shared), self._about_shared(learned))

    def remove_older(self) -> None:
        """Remove all but the newest file, also those that a killed process has left."""
        for number in sorted(self._known_shared())[:-1]:
            self._shared_path(number).unlink(missing_ok=True)

    def _known_shared(self) -> list[int]:
        """Of how many tasks there are files of what is kept together."""
        return [int(path.stem.partition("-")[2]) for path in self.folder.glob("shared-*") if _is_shared(path)]

    def _by_rule(self, tensors: Tensors) -> _ByRule:
        return {
            rule: {name.removeprefix(f"{rule}."): t for name, t in tensors.items() if name.startswith(f"{rule}.")}
            for rule in self.rules
        }

    def _own_path(self, number: int) -> Path:
        return self.folder / f"task-{number}.safetensors"

    def _shared_path(self, learned: int) -> Path:
        return self.folder / f"shared-{learned}.safetensors"

    def _about_own(self, number: int) -> dict[str, Any]:
        return {"seed": self.seed, "rules": list(self.rules), "task": self.names[number - 1]}

    def _about_shared(self, learned: int) -> dict[str, Any]:
        return {"seed": self.seed, "rules": list(self.rules), "tasks": list(self.names[:learned])}


@dataclass(frozen=True)
class RuleLearning:
    """The rules learn from training images, and keep what they learn in files.

    Attributes:
        files: the files; their folder exists.
        stream: the tasks, in the order of learning.
        backbone: gives the features.
    """

    files: KeptFiles
    stream: Stream
    backbone: FrozenBackbone

    def after(self, learned: int) -> Kept:
        """Return what the rules keep after the first `learned` tasks; what is not in a file is learned and written.

        Only training images of these tasks are read.

        Raises:
            StorageError: a file cannot be written.
        """
        files, rules, tasks = self.files, self.files.rules, self.stream.tasks[:learned]
        own = [files.read_own(number) for number in range(1, learned + 1)]
        together, shared = files.newest_shared(learned)
        for number, task in enumerate(tasks, 1):
            if own[number - 1] is not None and number <= together:
                continue
            features, labels = self.backbone.features(task.train, task.name), task.train.labels.numpy()
            if own[number - 1] is None:
                own[number - 1] = self._learn(number, task, features, labels)
            if number > together:
                shared = {rule: FEATURE_RULES[rule].share(shared[rule], features, labels) for rule in rules}
        if learned > together:
            files.write_shared(learned, shared)
        files.remove_older()
        return Kept([each for each in own if each is not None], shared)

    def _learn(self, number: int, task: Task, features: Features, labels: Labels) -> _ByRule:
        seed = derive(self.files.seed, task.name, "task inference")
        found = {rule: FEATURE_RULES[rule].learn(features, labels, seed) for rule in self.files.rules}
        self.files.write_own(number, found)
        return found


def _is_shared(path: Path) -> bool:
    return re.fullmatch(r"shared-\d+\.safetensors", path.name) is not None


def _flat(found: Mapping[str, Tensors]) -> Tensors:
    return {
        f"{rule}.{name}": np.ascontiguousarray(values) for rule, own in found.items() for name, values in own.items()
    }
