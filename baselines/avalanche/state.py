"""The state of Avalanche's plugins as named tensors, without pickle.

Only the differences between an object and a freshly constructed one are stored. If it holds a copy of the model, only
the differences between copy and model are. Tensors are named by their paths; JSON holds the structure.
"""

from __future__ import annotations

import copy
import inspect
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from avalanche.training.utils import ParamData
from torch import Tensor, nn

from methods.errors import UserError
from methods.method import REPLAY

_STRUCTURE = "structure"
_SCALARS = (type(None), bool, int, float, str)
_LISTS = {cls.__name__: cls for cls in (list, tuple, set, frozenset)}
_DICTS = {cls.__name__: cls for cls in (dict, OrderedDict)}
_SPANS: dict[str, type] = {cls.__name__: cls for cls in (slice, range)}

# In the JSON a scalar is itself, and everything else is a list: its kind, then what that kind needs.
Node = Any
_FRESH = ["fresh"]
# Stands for a missing fresh value.
_ABSENT = object()


def store(known: dict[str, object], fresh: dict[str, object], model: nn.Module) -> dict[str, Tensor]:
    """The tensors from which `restore` gives fresh objects the state of the known ones.

    Args:
        known: name -> object.
        fresh: the same name -> another such object, just constructed.
        model: the model; objects may refer to it or hold copies of it.

    Raises:
        UserError: an object has an attribute that is not made of tensors and simple values.
    """
    writer = _Writer(model)
    text = json.dumps(writer.changed(known, fresh), separators=(",", ":"))
    return {_STRUCTURE: torch.frombuffer(bytearray(text, "utf-8"), dtype=torch.uint8), **writer.tensors}


def restore(
    fresh: dict[str, object],
    stored: Mapping[str, Tensor],
    model: nn.Module,
    twin: Callable[[], nn.Module] | None = None,
) -> None:
    """The inverse of `store`, into the fresh objects.

    Args:
        fresh: name -> object, just constructed.
        stored: what `store` returned.
        model: the model, with the same values as in `store`.
        twin: makes a copy of the model as it was in `store`, if it has grown since.
    """
    text = stored[_STRUCTURE].cpu().numpy().tobytes()
    _Reader(stored, model, twin or (lambda: copy.deepcopy(model))).put(json.loads(text), fresh)


class _Writer:
    """Values -> JSON, and the tensors in them."""

    def __init__(self, model: nn.Module):
        self.model = model
        self.device = _device_of(model)
        self.tensors: dict[str, Tensor] = {}
        # An object that occurs twice is stored once.
        self.names: dict[int, str] = {}

    def changed(self, parts: dict[str, Any], fresh: dict[str, Any], path: str = "") -> dict[str, Node]:
        """The attributes that differ from those in `fresh`."""
        nodes = {name: self.write(part, fresh.get(name, _ABSENT), path + name) for name, part in parts.items()}
        return {name: node for name, node in nodes.items() if node != _FRESH}

    def write(self, value: Any, fresh: Any, path: str) -> Node:
        alike = type(value) is type(fresh)
        if value is self.model:
            return ["model"]
        if isinstance(value, Tensor):
            return self.write_tensor(value, fresh, path)
        if isinstance(value, ParamData):
            return ["ParamData", value.name, self.write_tensor(value.data, _ABSENT, path)]
        if isinstance(value, dict) and (alike or type(value) in _DICTS.values()):
            return self.write_dict(value, fresh if alike else {}, alike, path)
        if type(value) in _LISTS.values():
            return self.write_list(value, fresh if alike else (), alike, path)
        if type(value) is type(self.model):
            return ["copy", self.changed(vars(value), vars(self.model), f"{path}.")]
        if alike and _is_plain(value):
            changed = self.changed(vars(value), vars(fresh), f"{path}.")
            return ["object", changed] if changed else _FRESH
        if alike and ((value == fresh) is True or _is_same_routine(value, fresh)):
            return _FRESH
        if type(value) in _SCALARS:
            return value
        if type(value) in _SPANS.values() and value.step in (None, 1):
            return [type(value).__name__, value.start, value.stop]
        raise UserError(f"{path} is a {type(value).__name__}, which cannot be stored from one task to the next")

    def write_tensor(self, value: Tensor, fresh: Any, path: str) -> Node:
        known = isinstance(fresh, Tensor) and _is_equal(value, fresh)
        if known and self.traits(value) == self.traits(fresh):
            return _FRESH
        return ["tensor", None if known else self.name(value, path), *self.traits(value)]

    def traits(self, tensor: Tensor) -> list[str]:
        """What must be restored beside the values."""
        traits = {
            "cpu": tensor.device.type == "cpu" != self.device.type,
            "parameter": isinstance(tensor, nn.Parameter),
            "trained": tensor.is_leaf and tensor.requires_grad,
        }
        return [name for name, has in traits.items() if has]

    def name(self, tensor: Tensor, path: str) -> str:
        if id(tensor) not in self.names:
            # A uint8 tensor is taken for images.
            name = REPLAY + path if tensor.dtype == torch.uint8 else path
            while name in self.tensors or name == _STRUCTURE:
                name += "'"
            self.names[id(tensor)] = name
            self.tensors[name] = tensor.detach()
        return self.names[id(tensor)]

    def write_dict(self, value: dict[Any, Any], fresh: dict[Any, Any], alike: bool, path: str) -> Node:
        nodes = [
            (self.write(key, _ABSENT, f"{path}.key"), self.write(part, fresh.get(key, _ABSENT), f"{path}.{key}"))
            for key, part in value.items()
        ]
        unchanged = alike and list(value) == list(fresh) and all(node == _FRESH for _, node in nodes)
        return _FRESH if unchanged else ["dict", type(value).__name__, nodes]

    def write_list(self, value: Any, fresh: Any, alike: bool, path: str) -> Node:
        if isinstance(value, (set, frozenset)):
            # Sorted, because their order may differ in the next process.
            nodes = sorted((self.write(part, _ABSENT, f"{path}.member") for part in value), key=json.dumps)
            return _FRESH if alike and value == fresh else [type(value).__name__, nodes]
        before = [*fresh, *[_ABSENT] * len(value)]
        nodes = [self.write(part, before[index], f"{path}.{index}") for index, part in enumerate(value)]
        unchanged = alike and len(value) == len(fresh) and all(node == _FRESH for node in nodes)
        return _FRESH if unchanged else [type(value).__name__, nodes]


class _Reader:
    """JSON, and the tensors in it -> values."""

    def __init__(self, stored: Mapping[str, Tensor], model: nn.Module, twin: Callable[[], nn.Module]):
        self.stored = stored
        self.model = model
        self.twin = twin
        self.device = _device_of(model)
        self.tensors: dict[str, Tensor] = {}

    def put(self, nodes: dict[str, Node], parts: dict[str, Any]) -> None:
        for name, node in nodes.items():
            parts[name] = self.read(node, parts.get(name))

    def read(self, node: Node, fresh: Any) -> Any:
        match node:
            case ["fresh"]:
                return fresh
            case ["model"]:
                return self.model
            case ["tensor", None, *traits]:
                return self.with_traits(fresh.detach().clone(), traits)
            case ["tensor", name, *traits]:
                if name not in self.tensors:
                    self.tensors[name] = self.with_traits(self.stored[name], traits)
                return self.tensors[name]
            case ["ParamData", name, tensor]:
                data = self.read(tensor, None)
                return ParamData(name, init_tensor=data, device=data.device)
            case ["copy", nodes]:
                twin = self.twin()
                self.put(nodes, vars(twin))
                return twin
            case [("slice" | "range") as kind, first, last]:
                return _SPANS[kind](first, last)
            case ["object", nodes]:
                self.put(nodes, vars(fresh))
                return fresh
            case ["dict", kind, nodes]:
                return self.read_dict(kind, nodes, fresh)
            case [kind, nodes]:
                before = [*fresh] if type(fresh) is _LISTS[kind] else []
                before += [None] * len(nodes)
                return _LISTS[kind](self.read(part, before[index]) for index, part in enumerate(nodes))
            case scalar:
                return scalar

    def read_dict(self, kind: str, nodes: list[tuple[Node, Node]], fresh: Any) -> dict[Any, Any]:
        before = fresh if type(fresh).__name__ == kind else {}
        keys = [self.read(key, None) for key, _ in nodes]
        content = {key: self.read(part, before.get(key)) for key, (_, part) in zip(keys, nodes, strict=True)}
        if kind in _DICTS:
            return _DICTS[kind](content)
        # A special type such as a defaultdict keeps its type.
        fresh.clear()
        fresh.update(content)
        return fresh

    def with_traits(self, tensor: Tensor, traits: list[str]) -> Tensor:
        tensor = tensor.to("cpu" if "cpu" in traits else self.device)
        trained = "trained" in traits
        return nn.Parameter(tensor, trained) if "parameter" in traits else tensor.requires_grad_(trained)


def _device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _is_equal(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors have the same values; if they have no values, whether they could."""
    same_form = a.shape == b.shape and a.dtype == b.dtype and a.device == b.device
    return same_form and (a.is_meta or torch.equal(a, b))


def _is_plain(value: object) -> bool:
    """Whether an object's attributes are its whole state."""
    routine = inspect.isroutine(value) or isinstance(value, type)
    return hasattr(value, "__dict__") and type(value).__reduce__ is object.__reduce__ and not routine


def _is_same_routine(a: Any, b: Any) -> bool:
    """Whether two functions or methods are the same code, with the same simple values; the instances may differ."""
    if isinstance(a, partial) and isinstance(b, partial):
        return a.func == b.func and _has_simple_values(a) and (a.args, a.keywords) == (b.args, b.keywords)
    return inspect.isroutine(a) and (a.__module__, a.__qualname__) == (b.__module__, b.__qualname__)


def _has_simple_values(bound: partial[Any]) -> bool:
    return all(type(value) in _SCALARS for value in (*bound.args, *bound.keywords.values()))
