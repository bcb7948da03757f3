"""The objects that exist when a training begins. Whoever begins it again has the same ones in the same order."""

from __future__ import annotations

import hashlib
import weakref
from collections import deque
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.snapshots.kinds import CannotStoreError, Parts, kind_of
from benchmark.snapshots.values import class_name, is_value
from methods.errors import UserError


class _Tensor(weakref.ref[Tensor]):
    """A tensor, as long as others use it."""


class Inventory:
    """All objects that some roots lead to.

    Functions, open files, locks and the like cannot be stored. They need not be: the same ones are there again.

    Args:
        roots: name in messages -> where to begin.
        fixed: objects that never change; what they consist of is not looked at.
        lasting: tensors whose values never change; nor do tensors that share their values.

    Raises:
        UserError: an object has a content that is not understood; the message says which.
    """

    def __init__(self, roots: Mapping[str, object], fixed: Iterable[object] = (), lasting: Iterable[Tensor] = ()):
        fixed = list(fixed)
        self._places: dict[int, int] = {}
        self._members: list[Any] = []
        self.fixed = {id(each) for each in fixed}
        self.lasting = list(lasting)
        self._lasting: dict[tuple[str, int], list[int]] = {}
        for place, each in enumerate(self.lasting):
            if each.nbytes:
                self._lasting.setdefault(storage_key(each), []).append(place)
        self._classes = hashlib.sha256()
        waiting = deque[tuple[str, object]]([*(("", each) for each in fixed), *roots.items()])
        while waiting:
            path, value = waiting.popleft()
            if is_value(value) or self.place(value) is not None:
                continue
            self._add(value)
            waiting.extend((path + label, part) for label, part in self._ordered_parts(value, path))

    def _add(self, value: object) -> None:
        self._places[id(value)] = len(self._members)
        self._classes.update(f"{class_name(type(value))}\n".encode())
        # A tensor may need much memory, so it is not kept alive.
        self._members.append(_Tensor(value) if isinstance(value, Tensor) else value)

    def _ordered_parts(self, value: object, path: str) -> Parts:
        try:
            kind = None if self.is_fixed(value) or is_data(value) else kind_of(value)
        except CannotStoreError:
            raise refused(value, path) from None
        if isinstance(value, Tensor):
            return grad_parts(value)
        # The order in a set differs between processes.
        parts = kind.parts(value) if kind and kind.ordered else []
        # That of names may differ too: a state that was read has another one than a state that was learned.
        named = isinstance(value, dict) and all(isinstance(key, str) for key in value)
        return sorted(parts, key=itemgetter(0)) if named else parts

    def is_fixed(self, value: object) -> bool:
        """Whether an object is one of those that never change."""
        return id(value) in self.fixed

    def lasting_place(self, tensor: Tensor) -> tuple[int, int] | None:
        """The number of the lasting tensor whose values this one shares, and the bytes between their first values.

        None if there is none. Several tensors of a file may lie behind each other, and elsewhere each by itself.
        """
        first = _first_byte(tensor)
        for place in self._lasting.get(storage_key(tensor), ()):
            known = self.lasting[place]
            extent = sum((size - 1) * step for size, step in zip(known.shape, known.stride(), strict=True)) + 1
            if 0 <= first - _first_byte(known) < extent * known.itemsize:
                return place, first - _first_byte(known)
        return None

    def lasting_storage(self, place: int, distance: int) -> tuple[torch.UntypedStorage, int]:
        """The inverse: where the values of a lasting tensor lie, and which byte there is so far from its first."""
        known = self.lasting[place]
        return known.untyped_storage(), _first_byte(known) + distance

    def place(self, value: object) -> int | None:
        """The number of an object; None if it was not there."""
        place = self._places.get(id(value))
        return place if place is not None and self.member(place) is value else None

    def member(self, place: int) -> Any:
        """The object with a number; None if it was a tensor that nothing uses any more."""
        member = self._members[place]
        return member() if isinstance(member, _Tensor) else member

    @property
    def signature(self) -> str:
        """A hash of the classes of the objects, in their order."""
        return self._classes.hexdigest()


def is_data(value: object) -> bool:
    """Whether an object is mostly numbers: a tensor, an array or a random generator of torch."""
    return isinstance(value, (Tensor, np.ndarray, torch.Generator))


def grad_parts(tensor: Tensor) -> Parts:
    """The gradient that a tensor has got."""
    return [(".grad", tensor.grad)] if tensor.is_leaf and tensor.grad is not None else []


def storage_key(tensor: Tensor) -> tuple[str, int]:
    """What tensors that share their values have in common."""
    return str(tensor.device), tensor.untyped_storage().data_ptr()


def _first_byte(tensor: Tensor) -> int:
    return int(tensor.storage_offset()) * tensor.itemsize


def refused(value: object, path: str) -> UserError:
    """The error for an object that cannot be stored."""
    return UserError(
        f"{path} is a {type(value).__name__}, whose state cannot be stored in the middle of a task; "
        "keep tensors, numbers, lists and objects of these, or give its class __getstate__ and __setstate__"
    )
