"""Snapshots of a task's training: in memory, of its best epoch, and in files, so that a killed training goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from benchmark.snapshots.inventory import Inventory
from benchmark.snapshots.put_back import put_back
from benchmark.snapshots.randomness import random_state, set_random_state
from benchmark.snapshots.snapshot import Snapshot, take_snapshot
from methods.errors import UserError, first_line


class CannotResumeError(Exception):
    """A checkpoint does not fit the training, which may be half changed now, and must begin again."""


class Checkpoints(Protocol):
    """Where the checkpoints of a task are."""

    def read(self) -> Snapshot | None:
        """The newest one that fits; None if there is none."""

    def due(self) -> bool:
        """Whether it is time for another one."""

    def write(self, snapshot: Snapshot) -> None:
        """Store one in place of the one before."""

    def goes_on(self, epoch: int) -> None:
        """Say in which epoch, from 1, the task goes on from the one that was read."""

    def give_up(self, cause: str) -> None:
        """Say why there are none, and ask for no more."""


class Course:
    """The training of a task as a whole of objects, and the snapshots of it.

    Args:
        parts: name in messages -> a part of the training, as it is before the first epoch.
        training: the object that leads to all that changes.
        fixed: objects that never change; see Inventory.
        lasting: tensors whose values never change.
        device: the device that computes.
        checkpoints: where to store snapshots; None for no checkpoints.

    Raises:
        UserError: the training has an object whose content is not understood.
    """

    def __init__(
        self,
        parts: Mapping[str, object],
        training: object,
        fixed: Iterable[object],
        lasting: Iterable[Tensor],
        device: torch.device,
        checkpoints: Checkpoints | None,
    ):
        self._parts = dict(parts)
        self._training = training
        self._device = device
        self._checkpoints = checkpoints
        self._inventory = Inventory({**parts, "step": training}, [*fixed, self], lasting)

    def snapshot(self) -> Snapshot:
        """Return a snapshot of the parts, and of what they lead to beside the training itself.

        Raises:
            UserError: an object has a content that is not understood.
        """
        return take_snapshot(self._inventory, self._parts | self._randomness(), apart=self._training)

    def _randomness(self) -> dict[str, object]:
        return {"random numbers": random_state(self._device)}

    def return_to(self, snapshot: Snapshot) -> None:
        """Give the training the content that a snapshot has of it or its parts."""
        *_, randomness = put_back(self._inventory, snapshot)
        set_random_state(randomness, self._device)

    def resume(self) -> bool:
        """Give the whole training the content of its checkpoint, if there is one; return whether there is.

        Raises:
            CannotResumeError: it does not fit.
        """
        snapshot = self._checkpoints.read() if self._checkpoints else None
        if snapshot is None:
            return False
        try:
            self.return_to(snapshot)
        except Exception as error:  # what a file says may not fit in any way
            raise CannotResumeError(first_line(error)) from error
        return True

    def is_due(self) -> bool:
        """Whether it is time for another checkpoint."""
        return self._checkpoints is not None and self._checkpoints.due()

    def store(self) -> None:
        """Store a checkpoint of the whole training."""
        assert self._checkpoints is not None
        try:
            whole = self._parts | {"step": self._training} | self._randomness()
            self._checkpoints.write(take_snapshot(self._inventory, whole, copies=False))
        except UserError as error:
            self._checkpoints.give_up(str(error))
