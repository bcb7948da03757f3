"""Gives objects the content that a snapshot has of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.snapshots.inventory import Inventory, storage_key
from benchmark.snapshots.kinds import Kind, kind_of, kind_of_class
from benchmark.snapshots.snapshot import Snapshot, bytes_of
from benchmark.snapshots.values import find_class, from_json


def put_back(inventory: Inventory, snapshot: Snapshot) -> list[Any]:
    """Give the objects of an inventory the content of a snapshot, and make those that came later.

    Returns:
        The roots of the snapshot.

    Raises:
        LookupError: the snapshot is of other objects. Some may have been changed.
    """
    if inventory.signature != snapshot.signature:
        raise LookupError("what the method builds before it learns is not the same")
    return _Reader(inventory, snapshot).read()


class _Reader:
    def __init__(self, inventory: Inventory, snapshot: Snapshot):
        structure = json.loads(snapshot.structure)
        self.inventory = inventory
        self.roots: list[Any] = structure["roots"]
        self.nodes: list[list[Any]] = structure["nodes"]
        self.data = snapshot.data
        # The place in memory of the values with a number, once it is known.
        self.storages: dict[int, torch.UntypedStorage] = {}
        self.taken = {storage_key(each) for each in inventory.lasting}
        self.objects: dict[int, Any] = {}
        self.kinds: dict[int, Kind] = {}

    @torch.no_grad()
    def read(self) -> list[Any]:
        self._take_known()
        for number in range(len(self.nodes)):
            self.object(number)
        for number, kind in sorted(self.kinds.items(), key=lambda item: item[1].turn):
            _, _, about, parts = self.nodes[number]
            if kind.fill:
                kind.fill(self.objects[number], about, self.parts(parts))
        return self.parts(self.roots)

    def _take_known(self) -> None:
        """Find the objects that are in the inventory, and where the values of tensors lie."""
        known = []
        for number, (place, *_) in enumerate(self.nodes):
            if place is not None and (value := self.inventory.member(place)) is not None:
                self.objects[number] = value
                known.append((number, value))
        for number, value in known:
            about = self.nodes[number][2:3]
            if isinstance(value, Tensor) and about and "data" in about[0]:
                self._claim(about[0]["data"], value)
        for number, value in known:
            if len(self.nodes[number]) > 1:
                self._refresh(number, value)

    def _claim(self, data: int, tensor: Tensor) -> None:
        """Let values lie where this tensor has its own, if these are as many and nobody else has them."""
        key = storage_key(tensor)
        if data not in self.storages and key not in self.taken and len(bytes_of(tensor)) == len(self.data[data]):
            self.taken.add(key)
            self.storages[data] = tensor.untyped_storage()
            bytes_of(tensor).copy_(self.data[data])

    def _refresh(self, number: int, value: Any) -> None:
        """Begin to give an object of the inventory its content."""
        about = self.nodes[number][2]
        if isinstance(value, Tensor):
            wanted = self.values(about)
            if _form(value) != _form(wanted):
                value.data = wanted
            if value.is_leaf:
                value.requires_grad_(about["trained"])
                value.grad = next(iter(self.parts(self.nodes[number][3])), None)
        elif isinstance(value, torch.Generator):
            value.set_state(self.data[about[1]].cpu())
        elif isinstance(value, np.ndarray):
            value[...] = self.array(about)
        elif (kind := kind_of(value)) is not None and kind.fill:
            self.kinds[number] = kind

    def part(self, node: Any) -> Any:
        match node:
            case ["@", number]:
                return self.object(number)
        return from_json(node)

    def parts(self, nodes: Sequence[Any]) -> list[Any]:
        return [self.part(node) for node in nodes]

    def object(self, number: int) -> Any:
        """The object of a node; a new one has no content yet, unless it can never change."""
        if number not in self.objects:
            self.objects[number] = self._new(number)
        return self.objects[number]

    def _new(self, number: int) -> Any:
        if len(self.nodes[number]) < 4:
            raise LookupError("an object of the snapshot does not exist here")
        _, name, about, parts = self.nodes[number]
        cls = find_class(name)
        if issubclass(cls, Tensor):
            values = self.values(about)
            tensor = nn.Parameter(values, about["trained"]) if cls is nn.Parameter else values
            tensor.requires_grad_(about["trained"])
            tensor.grad = next(iter(self.parts(parts)), None)
            return tensor
        if issubclass(cls, torch.Generator):
            return torch.Generator(about[0]).set_state(self.data[about[1]].cpu())
        if issubclass(cls, np.ndarray):
            return self.array(about).copy()
        kind = kind_of_class(cls)
        if kind.make:
            return kind.make(cls, about, self.parts(parts))
        if kind.blank is None:
            raise LookupError(f"an object of {name} cannot be made")
        self.kinds[number] = kind
        return kind.blank(cls, about)

    def values(self, about: dict[str, Any]) -> Tensor:
        """A new tensor of these values."""
        shape, stride, offset = about["form"]
        empty = torch.empty(0, dtype=from_json(about["dtype"]), device=about["device"])
        if "lasting" in about:
            storage, first = self.inventory.lasting_storage(*about["lasting"])
            offset = first // empty.itemsize
        else:
            data = about["data"]
            if data not in self.storages:
                self.storages[data] = self.data[data].to(about["device"], copy=True).untyped_storage()
            storage = self.storages[data]
        return empty.set_(storage, offset, shape, stride)

    def array(self, about: Any) -> np.ndarray[Any, Any]:
        dtype, shape, data = about
        return self.data[data].cpu().numpy().view(dtype).reshape(shape)


def _form(tensor: Tensor) -> tuple[Any, ...]:
    """Where the values of a tensor are."""
    return storage_key(tensor), tensor.shape, tensor.stride(), tensor.storage_offset()
