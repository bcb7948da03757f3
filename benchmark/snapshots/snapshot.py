"""Snapshots: the present content of the objects of an inventory, and of those that came later."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.snapshots.inventory import Inventory, grad_parts, is_data, refused, storage_key
from benchmark.snapshots.kinds import CannotStoreError, Kind, Parts, kind_of
from benchmark.snapshots.values import class_name, find_class, is_value, to_json


@dataclass(frozen=True)
class Snapshot:
    """The content of objects at one moment. It consists of text and tensors alone.

    Attributes:
        signature: that of the inventory.
        structure: JSON: `roots`, and `nodes`, one for each object: its place in the inventory, its class, what its kind
            says about it, and its parts. A part is a small value, or ["@", the number of a node].
        data: the values of tensors and arrays, as uint8 [bytes] each.
    """

    signature: str
    structure: str
    data: list[Tensor]


def take_snapshot(
    inventory: Inventory, roots: Mapping[str, object], copies: bool = True, apart: object = None
) -> Snapshot:
    """Return a snapshot of all objects that these roots lead to.

    Args:
        inventory: of the same training, as it began.
        roots: name in messages -> object, of the inventory or another one.
        copies: whether tensors are copied. If not, the snapshot must be stored before anything else happens.
        apart: an object of the inventory that is not looked into.

    Raises:
        UserError: an object has a content that is not understood; the message says which.
    """
    return _Writer(inventory, copies, apart).write(roots)


class _Writer:
    def __init__(self, inventory: Inventory, copies: bool, apart: object):
        self.inventory = inventory
        self.apart = apart
        self.copies = copies
        self.data: list[Tensor] = []
        self.storages: dict[tuple[str, int], int] = {}
        self.numbers: dict[int, int] = {}
        # Each object with its path. They must live as long as their numbers count.
        self.found: list[tuple[object, str]] = []
        self.waiting = deque[int]()

    def write(self, roots: Mapping[str, object]) -> Snapshot:
        written = [self.part(root, name) for name, root in roots.items()]
        nodes = []
        while self.waiting:
            nodes.append(self.node(*self.found[self.waiting.popleft()]))
        structure = json.dumps({"roots": written, "nodes": nodes}, separators=(",", ":"))
        return Snapshot(self.inventory.signature, structure, self.data)

    def part(self, value: object, path: str) -> Any:
        if is_value(value):
            return to_json(value)
        number = self.numbers.get(id(value))
        if number is None:
            number = self.numbers[id(value)] = len(self.found)
            self.found.append((value, path))
            self.waiting.append(number)
        return ["@", number]

    def node(self, value: object, path: str) -> list[Any]:
        place = self.inventory.place(value)
        if value is self.apart or self.inventory.is_fixed(value) or (place is not None and _is_read_only(value)):
            return [place]
        if is_data(value):
            return [place, class_name(type(value)), *self.data_node(value, path)]
        try:
            kind = kind_of(value)
        except CannotStoreError:
            raise refused(value, path) from None
        if place is None and not _can_be_made(type(value), kind):
            raise refused(value, path)
        if kind is None:
            return [place]
        return [place, class_name(type(value)), kind.about(value), self.parts(kind.parts(value), path)]

    def parts(self, parts: Parts, path: str) -> list[Any]:
        return [self.part(each, path + label) for label, each in parts]

    def data_node(self, value: Any, path: str) -> tuple[Any, list[Any]]:
        if isinstance(value, torch.Generator):
            return [value.device.type, self.add(value.get_state())], []
        if isinstance(value, np.ndarray):
            if value.dtype.hasobject or value.dtype.names:
                raise refused(value, path)
            content = np.ascontiguousarray(value).reshape(-1).view(np.uint8).copy()
            return [value.dtype.str, list(value.shape), self.add(torch.from_numpy(content))], []
        return self.tensor(value, path)

    def tensor(self, value: Tensor, path: str) -> tuple[Any, list[Any]]:
        if type(value) not in (Tensor, nn.Parameter) or value.layout != torch.strided or value.is_quantized:
            raise refused(value, path)
        lasting = self.inventory.lasting_place(value)
        about = {
            # Without its number: a process may get another GPU.
            "device": value.device.type,
            "dtype": to_json(value.dtype),
            "form": [list(value.shape), list(value.stride()), value.storage_offset()],
            # Values with a history are only kept as values.
            "trained": value.is_leaf and value.requires_grad,
            **({"data": self.storage(value)} if lasting is None else {"lasting": lasting}),
        }
        return about, self.parts(grad_parts(value), path)

    def storage(self, tensor: Tensor) -> int:
        """The number of the values of a tensor, which it may share with others."""
        key = storage_key(tensor)
        if key not in self.storages or not tensor.untyped_storage().nbytes():
            self.storages[key] = self.add(bytes_of(tensor))
        return self.storages[key]

    def add(self, data: Tensor) -> int:
        self.data.append(data.clone() if self.copies else data)
        return len(self.data) - 1


def _can_be_made(cls: type, kind: Kind | None) -> bool:
    """Whether `put_back` can make an object that is not in the inventory."""
    try:
        known = find_class(class_name(cls)) is cls
    except LookupError:
        known = False
    return known and kind is not None and (kind.make is not None or kind.blank is not None)


def _is_read_only(value: object) -> bool:
    return isinstance(value, np.ndarray) and not value.flags.writeable


def bytes_of(tensor: Tensor) -> Tensor:
    """All bytes that a tensor's values are a part of: uint8 [N], not copied."""
    storage = tensor.untyped_storage()
    return torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage, 0, (storage.nbytes(),), (1,))
