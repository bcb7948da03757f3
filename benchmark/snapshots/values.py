"""Small values that cannot change, as JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import Enum
from fractions import Fraction
from pathlib import Path
from types import BuiltinFunctionType, MethodType
from typing import Any

import numpy as np
import torch

#: What JSON has itself.
SCALARS = (type(None), bool, int, float, str)


def _ends(value: range | slice) -> list[Any]:
    return [value.start, value.stop, value.step]


# Name in JSON -> the type, and how its values are written and read.
_TYPES: dict[str, tuple[type, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "bytes": (bytes, bytes.hex, bytes.fromhex),
    "complex": (complex, str, complex),
    "fraction": (Fraction, str, Fraction),
    "range": (range, _ends, lambda ends: range(*ends)),
    "slice": (slice, _ends, lambda ends: slice(*ends)),
    "path": (type(Path()), str, Path),
    "dtype": (torch.dtype, lambda value: str(value).removeprefix("torch."), lambda name: getattr(torch, name)),
    "device": (torch.device, str, torch.device),
    # One of torch's own, as torch.zeros.
    "function": (BuiltinFunctionType, lambda function: function.__name__, lambda name: getattr(torch, name)),
}


def is_value(value: object) -> bool:
    """Whether this is a small value that cannot change."""
    if isinstance(value, slice):
        return all(type(end) in SCALARS for end in _ends(value))
    if isinstance(value, BuiltinFunctionType):
        return getattr(torch, value.__name__, None) is value
    return type(value) in _OF_TYPES or isinstance(value, (np.generic, Enum))


def to_json(value: object) -> Any:
    """The JSON for such a value: a scalar, or a list whose first entry says what it is."""
    if type(value) in SCALARS:
        return value
    if isinstance(value, Enum):
        return ["enum", class_name(type(value)), value.name]
    if isinstance(value, np.generic):
        return ["numpy", value.dtype.str, value.tobytes().hex()]
    name = _OF_TYPES[type(value)]
    return [name, _TYPES[name][1](value)]


def from_json(node: Any) -> Any:
    """The inverse of `to_json`."""
    match node:
        case ["enum", cls, name]:
            return find_class(cls)[name]  # type: ignore[index]
        case ["numpy", dtype, content]:
            return np.frombuffer(bytes.fromhex(content), dtype)[0]
        case [name, content]:
            return _TYPES[name][2](content)
    return node


def class_name(cls: type) -> str:
    """The name of a class, by which `find_class` finds it."""
    # Python gives these other names than they can be found by.
    known = {MethodType: "types:MethodType", BuiltinFunctionType: "types:BuiltinFunctionType"}
    return known.get(cls, f"{cls.__module__}:{cls.__qualname__}")


def find_class(name: str) -> type:
    """The class of a name, in a module that has been imported: nothing is imported for it.

    Raises:
        LookupError: there is none.
    """
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for step in path.split("."):
        found = getattr(found, step, None)
    if not isinstance(found, type):
        raise LookupError(f"there is no class {name}")
    return found


_OF_TYPES: dict[type, str] = {**dict.fromkeys(SCALARS, ""), **{cls: name for name, (cls, _, _) in _TYPES.items()}}
