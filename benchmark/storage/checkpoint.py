"""The checkpoint of a task that is being learned: a file in its cell's folder, until the task is finished."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmark.files import StorageError, VanishedError, make_below, writing
from benchmark.snapshots.snapshot import Snapshot
from benchmark.storage.records import CELL_LEVELS
from benchmark.storage.sealed_tensors import read_sealed, write_tensors

_NAME = re.compile(r"checkpoint-(\d+)\.safetensors")


class CheckpointFile:
    """Stores the newest checkpoint of a task, and reads it again.

    Args:
        folder: the cell's; made if needed.
        task: the task's number, from 1.
        minutes: how long after one the next is due; 0: after every step; None: never.
        about: gives the text of each thing that a checkpoint must have in common with whoever reads it.
        warn, say: called with one line of text: of something that is wrong, and of what goes on.
        name: what is being learned, for these lines.
    """

    def __init__(
        self,
        folder: Path,
        task: int,
        minutes: float | None,
        about: Callable[[], Mapping[str, str]],
        warn: Callable[[str], None],
        say: Callable[[str], None],
        name: str,
    ):
        self._folder = folder
        self._task = task
        self._minutes = minutes
        self._make_about = about
        self._warn, self._say = warn, say
        self._name = name
        self._written = time.monotonic()

    @property
    def path(self) -> Path:
        """The file."""
        return checkpoint_path(self._folder, self._task)

    @cached_property
    def _about(self) -> dict[str, str]:
        return dict(self._make_about())

    def due(self) -> bool:
        """Whether it is time for another checkpoint."""
        return self._minutes is not None and time.monotonic() - self._written >= 60 * self._minutes

    def write(self, snapshot: Snapshot) -> None:
        """Store a checkpoint in place of the one before. If that is impossible, the task goes on without.

        Raises:
            VanishedError: the folder has disappeared.
        """
        tensors = {str(number): data.cpu().numpy() for number, data in enumerate(snapshot.data)}
        about = {"about": self._about, "signature": snapshot.signature, "structure": snapshot.structure}
        try:
            with writing(self._folder):
                make_below(self._folder, CELL_LEVELS)
            write_tensors(self.path, tensors, about)
        except VanishedError:
            raise
        except StorageError as error:
            self.give_up(str(error))
        self._written = time.monotonic()

    def read(self) -> Snapshot | None:
        """The checkpoint; None if there is none that can be used, and why is said."""
        if not self.path.exists():
            return None
        found = read_sealed(self.path)
        try:
            if found is None:
                raise ValueError("it is damaged")
            tensors, said = found
            self._check(said["about"])
            data = [torch.from_numpy(_own(tensors[str(number)])) for number in range(len(tensors))]
            return Snapshot(said["signature"], said["structure"], data)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.refuse(str(error) if isinstance(error, ValueError) else "it is damaged")
            return None

    def _check(self, said: Mapping[str, str]) -> None:
        """Raise ValueError if a checkpoint has something else than this task."""
        for key in dict.fromkeys((*self._about, *said)):
            before, now = said.get(key, "unknown"), self._about.get(key, "unknown")
            if before != now:
                shown = f" (then {before}, now {now})" if max(len(before), len(now)) < 60 else ""
                raise ValueError(f"{key} is another one{shown}")

    def refuse(self, cause: str) -> None:
        """Remove a checkpoint that cannot be used, and say why."""
        self._warn(
            f"{self._name}: the checkpoint of task {self._task} cannot be used: {cause}; the task starts from its "
            "beginning"
        )
        self.path.unlink(missing_ok=True)

    def goes_on(self, epoch: int) -> None:
        """Say in which epoch, from 1, the task goes on."""
        self._say(f"{self._name}: task {self._task} goes on from its checkpoint, in epoch {epoch}")

    def give_up(self, cause: str) -> None:
        """Store no more checkpoints of the task, and say why."""
        self._minutes = None
        self._warn(f"{self._name}: task {self._task} goes on without new checkpoints: {cause}")


def checkpoint_path(folder: Path, task: int) -> Path:
    """The file of the checkpoint of a cell's task."""
    return folder / f"checkpoint-{task}.safetensors"


def remove_checkpoints(folder: Path, learned: int) -> None:
    """Remove the checkpoints of the first `learned` tasks from a cell's folder, which need not exist."""
    for path in folder.glob("checkpoint-*.safetensors"):
        match = _NAME.fullmatch(path.name)
        if match and int(match[1]) <= learned:
            path.unlink(missing_ok=True)


def _own(values: Any) -> Any:
    """An array that may be written into."""
    return np.require(values, requirements="W")
