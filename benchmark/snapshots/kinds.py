"""How objects are taken apart and put together again, without pickle."""

from __future__ import annotations

import io
import logging
import random
import re
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache, partial
from types import (
    BuiltinFunctionType,
    CellType,
    FunctionType,
    GenericAlias,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    NoneType,
    SimpleNamespace,
    WrapperDescriptorType,
)
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

#: The parts of an object with their names, for messages.
Parts = list[tuple[str, object]]

# Objects that pickle would make again from something else, and that never change as far as a training knows.
_CONSTANT = (
    *(type, MethodDescriptorType, WrapperDescriptorType, GenericAlias, type(lru_cache(len))),
    *(logging.Logger, re.Pattern, date, timedelta, Decimal, io.IOBase, np.dtype, torch.layout),
)

# A method compiled by torch.compile: it is made again.
_COMPILED = "_compiled_call_impl"

# What marks the end of an attribute that was never set.
_EMPTY = object()


class CannotStoreError(Exception):
    """An object whose content is not understood."""


@dataclass(frozen=True)
class Kind:
    """How the objects of some classes are taken apart.

    Attributes:
        parts: object -> its parts; what `fill` or `make` puts together.
        about: object -> what else is needed for that, as JSON.
        blank: class, about -> a new object, still without parts; None if objects are made at once, by `make`, or never.
        fill: object, about, parts: replaces the object's content.
        make: class, about, parts -> an object that never changes.
        ordered: whether the parts of equal objects have the same order in each process.
        turn: objects are filled in turns: those of 1 ask for the hash of their parts, those of 2 look into them.
    """

    parts: Callable[[Any], Parts]
    about: Callable[[Any], Any] = lambda value: None
    blank: Callable[[type, Any], Any] | None = None
    fill: Callable[[Any, Any, Sequence[Any]], None] | None = None
    make: Callable[[type, Any, Sequence[Any]], Any] | None = None
    ordered: bool = True
    turn: Literal[0, 1, 2] = 0


def kind_of(value: object) -> Kind | None:
    """How an object is taken apart; None if it is one that is never changed or stored, as a function or a lock.

    Raises:
        CannotStoreError: its content is not understood.
    """
    cls = type(value)
    if isinstance(value, FunctionType):
        return _FUNCTION if value.__closure__ else None
    if isinstance(value, BuiltinFunctionType) and isinstance(value.__self__, (NoneType, ModuleType, type)):
        return None
    if isinstance(value, _CONSTANT):
        return None
    kind = kind_of_class(cls)
    if kind is not _OBJECT:
        return kind
    if cls.__reduce__ is not object.__reduce__ or cls.__reduce_ex__ is not object.__reduce_ex__:
        raise CannotStoreError
    try:
        # Python's own decision whether the attributes of an object are all of it.
        object.__reduce_ex__(value, 2)
    except TypeError:
        if hasattr(cls, "__next__"):
            raise CannotStoreError from None
        return None
    return _OBJECT


def kind_of_class(cls: type) -> Kind:
    """How the objects of a class are taken apart, if they are not functions, files and the like."""
    known = next((kind for base, kind in _KINDS if issubclass(cls, base)), _OBJECT)
    return _OWN_STATE if known in (_OBJECT, _MODULE) and _has_own_state(cls) else known


def _has_own_state(cls: type) -> bool:
    """Whether the author of a class has said, as for pickle, what its state is. Torch's classes do so for files."""
    says = next((base for base in cls.__mro__ if "__setstate__" in vars(base)), None)
    return says is not None and "__getstate__" in vars(says) and not says.__module__.startswith("torch.")


def _slots(value: object) -> list[str]:
    """The names of an object's slots."""
    names = []
    for cls in type(value).__mro__:
        own = vars(cls).get("__slots__", ())
        for name in (own,) if isinstance(own, str) else own:
            private = name.startswith("__") and not name.endswith("__")
            names.append(f"_{cls.__name__.lstrip('_')}{name}" if private else name)
    return [name for name in dict.fromkeys(names) if name not in ("__dict__", "__weakref__")]


def _attributes(value: object) -> dict[str, object]:
    """The attributes of an object, those in slots too."""
    found = {name: getattr(value, name, _EMPTY) for name in _slots(value)}
    own = {name: each for name, each in getattr(value, "__dict__", {}).items() if name != _COMPILED}
    return own | {name: each for name, each in found.items() if each is not _EMPTY}


def attribute_parts(value: object) -> Parts:
    return [(f".{name}", each) for name, each in _attributes(value).items()]


def attribute_names(value: object) -> list[str]:
    return list(_attributes(value))


def set_attributes(value: object, names: Sequence[str], parts: Sequence[Any]) -> None:
    slots = set(_slots(value))
    for name in slots - set(names):
        if hasattr(value, name):
            object.__delattr__(value, name)
    own = dict(zip(names, parts, strict=True))
    for name in slots & own.keys():
        object.__setattr__(value, name, own.pop(name))
    kept = getattr(value, "__dict__", {})
    compiled = {name: kept[name] for name in (_COMPILED,) if name in kept}
    # Not one by one: the next snapshot follows the order of the attributes.
    kept.clear()
    kept.update(own | compiled)


def _dict_parts(value: dict[Any, Any]) -> Parts:
    items = [(f"[{key!r:.60}]", each) for key, pair in value.items() for each in (key, pair)]
    factory: Parts = [("", value.default_factory)] if isinstance(value, defaultdict) else []
    return [*items, *factory, *attribute_parts(value)]


def _dict_about(value: dict[Any, Any]) -> Any:
    return [len(value), attribute_names(value)]


def _fill_dict(value: dict[Any, Any], about: Any, parts: Sequence[Any]) -> None:
    count, names = about
    # A subclass may refuse some content, but this is its own.
    base: Any = OrderedDict if isinstance(value, OrderedDict) else dict
    base.clear(value)
    for key, each in zip(parts[: 2 * count : 2], parts[1 : 2 * count : 2], strict=True):
        base.__setitem__(value, key, each)
    if isinstance(value, defaultdict):
        value.default_factory = parts[2 * count]
    set_attributes(value, names, parts[len(parts) - len(names) :])


def _sequence_parts(value: Any) -> Parts:
    return [*((f"[{place}]", each) for place, each in enumerate(value)), *attribute_parts(value)]


def _sequence_about(value: Any) -> Any:
    return [len(value), attribute_names(value), getattr(value, "maxlen", None)]


def _fill_sequence(value: Any, about: Any, parts: Sequence[Any]) -> None:
    count, names, _ = about
    value.clear()
    value.extend(parts[:count])
    set_attributes(value, names, parts[count:])


def _fill_set(value: Any, about: Any, parts: Sequence[Any]) -> None:
    count, names, _ = about
    value.clear()
    value.update(parts[:count])
    set_attributes(value, names, parts[count:])


def _make_tuple(cls: type, about: Any, parts: Sequence[Any]) -> Any:
    return torch.Size(parts) if cls is torch.Size else tuple.__new__(cls, parts)


def _cell_parts(value: CellType) -> Parts:
    try:
        return [("", value.cell_contents)]
    except ValueError:
        # It is empty.
        return []


def _fill_cell(value: CellType, about: Any, parts: Sequence[Any]) -> None:
    for part in parts:
        value.cell_contents = part


def _closure(value: FunctionType) -> Parts:
    names = value.__code__.co_freevars
    return [(f" ({name})", cell) for name, cell in zip(names, value.__closure__ or (), strict=True)]


def _fill_bytes(value: bytearray, about: Any, parts: Sequence[Any]) -> None:
    value[:] = parts[0]


def _partial_parts(value: partial[Any]) -> Parts:
    return [("", each) for each in (value.func, *value.args, value.keywords)]


def _make_partial(cls: type, about: Any, parts: Sequence[Any]) -> Any:
    function, *given, named = parts
    return cls(function, *given, **named)


def _numpy_state(value: Any) -> Any:
    """The state of a random generator of NumPy."""
    return value.get_state(legacy=False) if isinstance(value, np.random.RandomState) else _bits(value).state


def _set_numpy_state(value: Any, state: Any) -> None:
    if isinstance(value, np.random.RandomState):
        value.set_state(state)
    else:
        _bits(value).state = state


def _bits(value: Any) -> Any:
    return value.bit_generator if isinstance(value, np.random.Generator) else value


def _bit_generator(value: Any) -> str:
    """The class that draws the bits."""
    return "MT19937" if isinstance(value, np.random.RandomState) else type(_bits(value)).__name__


def _blank_numpy(cls: type, name: str) -> Any:
    bits = getattr(np.random, name)()
    return bits if isinstance(bits, cls) else cls(bits)


def _contents(attribute_of: Callable[[Any], Any]) -> Callable[[Any], Parts]:
    return lambda value: [("", attribute_of(value))]


_FUNCTION = Kind(_closure)
_OBJECT = Kind(
    attribute_parts,
    attribute_names,
    # Not `cls.__new__`: that of a class may want arguments.
    blank=lambda cls, about: object.__new__(cls),
    fill=set_attributes,
)
# Their attributes are all of it, even if torch refuses to pickle them, as it does with parametrised ones.
_MODULE = replace(_OBJECT)
_OWN_STATE = Kind(
    _contents(lambda value: value.__getstate__()),
    blank=lambda cls, about: object.__new__(cls),
    fill=lambda value, about, parts: value.__setstate__(parts[0]),
    turn=2,
)
_SEQUENCE = Kind(_sequence_parts, _sequence_about, lambda cls, about: list.__new__(cls), _fill_sequence)


def _blank_dict(cls: type, about: Any) -> Any:
    # The functions of the built-in classes: those of a subclass may want arguments.
    base = next(known for known in (defaultdict, OrderedDict, dict) if issubclass(cls, known))
    return base.__new__(cls)


# The first that fits.
_KINDS: tuple[tuple[type | tuple[type, ...], Kind], ...] = (
    (dict, Kind(_dict_parts, _dict_about, _blank_dict, _fill_dict, turn=1)),
    (list, _SEQUENCE),
    (deque, replace(_SEQUENCE, blank=lambda cls, about: cls((), about[2]))),
    (set, replace(_SEQUENCE, blank=lambda cls, about: set.__new__(cls), fill=_fill_set, ordered=False, turn=1)),
    (frozenset, Kind(_sequence_parts, make=lambda cls, about, parts: frozenset(parts), ordered=False)),
    (bytearray, Kind(_contents(bytes), blank=lambda cls, about: cls(), fill=_fill_bytes)),
    (tuple, Kind(_sequence_parts, make=_make_tuple)),
    (nn.Module, _MODULE),
    (SimpleNamespace, replace(_OBJECT, blank=lambda cls, about: cls())),
    (
        (MethodType, BuiltinFunctionType),
        Kind(
            _contents(lambda value: value.__self__),
            lambda value: value.__name__,
            make=lambda cls, name, parts: getattr(parts[0], name),
        ),
    ),
    (partial, Kind(_partial_parts, make=_make_partial)),
    (CellType, Kind(_cell_parts, fill=_fill_cell)),
    (
        random.Random,
        Kind(
            _contents(lambda value: value.getstate()),
            blank=lambda cls, about: cls(),
            fill=lambda value, about, parts: value.setstate(parts[0]),
        ),
    ),
    (
        (np.random.Generator, np.random.BitGenerator, np.random.RandomState),
        Kind(
            _contents(_numpy_state),
            _bit_generator,
            _blank_numpy,
            lambda value, about, parts: _set_numpy_state(value, parts[0]),
            turn=2,
        ),
    ),
)
