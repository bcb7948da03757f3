"""The guesses of the rules on frozen features, made once for each seed and order, for all methods.

`after-<i>.safetensors` has the guesses after i tasks, for the test images of these tasks. Beside it are the files of
what the rules keep (see kept.py) and, until the last task, `test-<j>`: the features of test images, so that each test
image passes through the backbone once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock

from benchmark.files import OWN, make_below, writing
from benchmark.images.layout import MemoryFormat
from benchmark.learning.operations import feature_operations_per_image
from benchmark.learning.precision import Precision
from benchmark.storage.sealed_tensors import read_sealed, read_tensors, write_tensors
from benchmark.streams.base import Stream
from benchmark.task_inference.base import Features, Measure, Numbers
from benchmark.task_inference.feature_rules import FEATURE_RULES
from benchmark.task_inference.frozen import FrozenBackbone
from benchmark.task_inference.kept import KeptFiles, RuleLearning
from methods.network import Network


@dataclass(frozen=True)
class Guessed:
    """The guesses after some tasks, and what they cost. A place is a task's number in the order of learning, from 1.

    Attributes:
        tasks: (rule, place of a task) -> the place that is guessed for each of that task's test images, int64 [N].
        bytes: rule -> the bytes of all values that it keeps.
        flops_per_image: rule -> the floating-point operations of a guess, from the features on.
        feature_flops_per_image: those of the features: one pass through the backbone without a head.
        evaluations: the passes over the test images of a task that these guesses need, beyond those of the guesses
            before.
    """

    tasks: Mapping[tuple[str, int], npt.NDArray[np.int64]]
    bytes: Mapping[str, int]
    flops_per_image: Mapping[str, int]
    feature_flops_per_image: int
    evaluations: int


class Guesses:
    """The guesses of one seed and order.

    Several processes may use the same folder: one makes a file, and the others wait and read it. A process that is
    killed leaves nothing that changes what the next one makes.

    Args:
        folder: of this seed and order; made if needed.
        backbone: the backbone as given; never changed.
        stream: the tasks, in the order of learning.
        seed: the seed of the repetition.
        rules: names of rules on features.
        device: where features are computed.
        precision, memory_format: see Settings.
    """

    def __init__(
        self,
        folder: Path,
        backbone: Network,
        stream: Stream,
        seed: int,
        rules: Sequence[str],
        device: torch.device,
        precision: Precision = "fp32",
        memory_format: MemoryFormat = "channels-last",
    ):
        self._folder = folder
        self._stream = stream
        self._rules = tuple(rules)
        self._backbone = FrozenBackbone(backbone, device, precision, memory_format)
        files = KeptFiles(folder, stream.names, seed, self._rules)
        self._kept = RuleLearning(files, stream, self._backbone)
        # How near the test images of a task are to each task, as far as later tasks do not change it.
        self._fixed: dict[tuple[str, int], list[Numbers]] = {}

    def after(self, learned: int) -> Guessed:
        """Return the guesses after the first `learned` tasks, and make those that are not in files.

        Raises:
            StorageError: a file cannot be written.
            UserError: the backbone gives features that no rule can use.
        """
        found = self._read(learned)
        if found is None:
            with self._alone():
                for number in range(1, learned + 1):
                    found = self._read(number) or self._make(number)
        assert found is not None
        return found

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait until no other process makes these guesses. The system unlocks it when a process ends."""
        with writing(self._folder):
            make_below(self._folder, levels=2)
            lock = FileLock(self._folder / f"{OWN}lock")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _make(self, learned: int) -> Guessed:
        # The rules learn first. No test image is read before.
        kept = self._kept.after(learned)
        measures = {rule: FEATURE_RULES[rule].measures(*kept.of(rule)) for rule in self._rules}
        tasks = {}
        for place in range(1, learned + 1):
            features = self._test_features(place)
            for rule in self._rules:
                nearness = np.stack(self._nearness(rule, place, measures[rule], features))
                tasks[rule, place] = nearness.argmax(0) + 1
        guessed = Guessed(
            tasks,
            {rule: kept.bytes(rule) for rule in self._rules},
            {rule: FEATURE_RULES[rule].operations(kept.of(rule)[0]) for rule in self._rules},
            feature_operations_per_image(self._backbone.pristine, self._stream.tasks[learned - 1].image_size),
            # The features of earlier tasks are in files. This does not count what a damaged file makes necessary, so
            # that the same run gives the same numbers.
            evaluations=1,
        )
        self._write(learned, guessed)
        return guessed

    def _nearness(self, rule: str, place: int, measures: Sequence[Measure], features: Features) -> list[Numbers]:
        """Return how near the test images of a task are to each task, [N] for each."""
        known = [] if FEATURE_RULES[rule].shares else self._fixed.setdefault((rule, place), [])
        if len(known) < len(measures):
            points = FEATURE_RULES[rule].points(features)
            known += [measure(points) for measure in measures[len(known) :]]
        return known[: len(measures)]

    def _test_features(self, place: int) -> Features:
        task = self._stream.tasks[place - 1]
        path, about = self._folder / f"test-{place}.safetensors", {"task": task.name, "images": len(task.test)}
        known = read_tensors(path, about)
        if known is not None:
            return known["features"]
        features = self._backbone.features(task.test, task.name)
        write_tensors(path, {"features": features}, about)
        return features

    def _path(self, learned: int) -> Path:
        return self._folder / f"after-{learned}.safetensors"

    def _about(self, learned: int) -> dict[str, Any]:
        """What the guesses depend on, as far as it may differ in one folder."""
        return {
            "seed": self._kept.files.seed,
            "rules": list(self._rules),
            "tasks": list(self._stream.names[:learned]),
            "images": [len(task.test) for task in self._stream.tasks[:learned]],
        }

    def _write(self, learned: int, guessed: Guessed) -> None:
        kind = np.min_scalar_type(learned)
        tensors = {f"{rule}.{place}": guesses.astype(kind) for (rule, place), guesses in guessed.tasks.items()}
        costs = {key: value for key, value in vars(guessed).items() if key != "tasks"}
        if learned == len(self._stream):
            # Before the file is written: a process that is killed in between makes both again, and leaves nothing over.
            for place in range(1, learned + 1):
                (self._folder / f"test-{place}.safetensors").unlink(missing_ok=True)
        write_tensors(self._path(learned), tensors, self._about(learned) | {"costs": costs})

    def _read(self, learned: int) -> Guessed | None:
        found = read_sealed(self._path(learned))
        if found is None:
            return None
        tensors, about = found
        costs = about.pop("costs", None)
        if about != self._about(learned) or costs is None:
            return None
        tasks = {
            (rule, place): tensors[f"{rule}.{place}"].astype(np.int64)
            for rule in self._rules
            for place in range(1, learned + 1)
        }
        return Guessed(tasks, **costs)
