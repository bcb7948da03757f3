"""Mistakes in a method's class that Python does not notice: misspelt hooks, and a constructor that is never called."""

from __future__ import annotations

import difflib
import dis
import functools
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

from methods.errors import UserError
from methods.method import STEP_HOOKS, Method

#: The hooks of the training, in their order.
HOOKS = (
    *("before_training_exp", "before_training_epoch"),
    *STEP_HOOKS,
    *("after_training_epoch", "after_training_exp"),
)

# From this likeness on, a name is taken for a misspelt one: "adopt" and "adapt" are just as like.
_ALIKE = 0.8

_MEANT = tuple(name for name in (*vars(Method), *Method.__annotations__) if not name.startswith("_"))


def refuse_forgotten_constructor(method: Method, owner: str) -> None:
    """Refuse a method whose constructor left out that of a class which it is derived from.

    Args:
        method: an instance.
        owner: what it is, for the message.

    Raises:
        UserError: a constructor calls no other one, and an instance has nothing of what the one above it sets.
    """
    made = [base for base in own_bases(type(method)) if "__init__" in vars(base)]
    for number, base in enumerate(made, 1):
        constructor = vars(base)["__init__"]
        sets = {name for above in made[number:] for name in _sets(vars(above)["__init__"])} - _sets(constructor)
        if sets and not sets & vars(method).keys() and not {"super", "__init__"} & read_names(constructor):
            raise UserError(
                f"{owner}: {base.__name__}.__init__{place(constructor)} does not call super().__init__(), so that "
                "what it is derived from is not set up; write that as its first line"
            )


def misspelt_hooks(cls: type[Method], surely: bool = False) -> list[str]:
    """What to say of each function that begins like a hook, is none, and is used nowhere in the class's modules.

    It may still be called from elsewhere or by a name that is put together, so that this is no reason to refuse it.

    Args:
        surely: only of those that have nearly the name of a hook.
    """
    found = []
    for name, value in _unused(cls):
        if not (name.startswith(("before_", "after_")) and any(_codes(value))):
            continue
        if surely and (hasattr(Method, name) or not difflib.get_close_matches(name, HOOKS, n=1, cutoff=_ALIKE)):
            continue
        if "_eval" in name and hasattr(Method, name):
            found.append(f"{name!r}{place(value)} is never called: evaluation runs without hooks")
            continue
        close = difflib.get_close_matches(name, HOOKS, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"hooks are {', '.join(HOOKS)}"
        found.append(f"{name!r}{place(value)} is no hook, and nothing here calls it; {hint}")
    return found


def resembling(cls: type[Method]) -> list[str]:
    """What to say of each other attribute that nothing here uses, with nearly the name of one that the program uses."""
    found = []
    for name, value in _unused(cls):
        close = difflib.get_close_matches(name, _MEANT, n=1, cutoff=_ALIKE)
        if close and not hasattr(Method, name) and not name.startswith(("before_", "after_")):
            found.append(f"nothing here uses {name!r}{place(value)}; did you mean '{close[0]}'?")
    return found


def _unused(cls: type[Method]) -> list[tuple[str, Any]]:
    """The attributes of a class, and of those that it is derived from, that the program does not know, nor they."""
    return [
        (name, value)
        for base in own_bases(cls)
        for name, value in vars(base).items()
        if not name.startswith("__")
        and (not hasattr(Method, name) or "_eval" in name)
        and name not in Method.__annotations__
        and not _is_used(name, cls)
    ]


def read_names(function: Any) -> set[str]:
    """The names that a function, a property or the functions of a class read, and the texts in them."""
    return {name for code in _codes(function) for name in _read(code)}


def read_of_self(function: Any) -> set[str]:
    """The attributes of its first parameter that a function or a property reads, or asks for as a text."""
    return {name for code in _codes(function) if code.co_argcount for name in _read_of(code.co_varnames[0], code)}


def _read_of(variable: str, code: CodeType) -> set[str]:
    """What code reads of a variable: the name or the text in the instruction after the one that loads it."""
    found, loaded = set(), False
    for step in dis.get_instructions(code):
        if isinstance(step.argval, CodeType):
            found |= _read_of(variable, step.argval)
        elif loaded and isinstance(step.argval, str) and step.opname in ("LOAD_ATTR", "LOAD_METHOD", "LOAD_CONST"):
            found.add(step.argval)
        # One instruction may load two variables.
        last = step.argval[-1] if isinstance(step.argval, tuple) and step.argval else step.argval
        loaded = step.opname.startswith(("LOAD_FAST", "LOAD_DEREF")) and last == variable
    return found


def _sets(constructor: Any) -> set[str]:
    """The attributes that a constructor sets."""
    steps = (step for code in _codes(constructor) for step in dis.get_instructions(code))
    return {step.argval for step in steps if step.opname == "STORE_ATTR"}


def own_bases(cls: type) -> list[type]:
    """The class and those that it is derived from, without Method and what is no method."""
    others = [base for base in cls.__mro__ if base not in Method.__mro__]
    return [base for base in others if issubclass(base, Method) or base.__module__ == cls.__module__]


def _is_used(name: str, cls: type) -> bool:
    """Whether another function in the modules of the class and of those that it is derived from reads a name."""
    for module in {base.__module__ for base in own_bases(cls)}:
        held = vars(sys.modules[module]).values() if module in sys.modules else ()
        here = [value for value in held if getattr(value, "__module__", None) == module]
        codes = (code for value in (*here, *own_bases(cls)) for code in _codes(value))
        if any(name in _read(code) for code in codes if code.co_name != name):
            return True
    return False


def _codes(value: Any) -> Iterator[CodeType]:
    """The code of a function, of what wraps one, and of all functions of a class."""
    if isinstance(value, type):
        for each in vars(value).values():
            # Of the classes that it holds only those that are written in it: others may hold it in turn.
            if not isinstance(each, type) or each.__qualname__.startswith(f"{value.__qualname__}."):
                yield from _codes(each)
    elif isinstance(value, property):
        for each in (value.fget, value.fset, value.fdel):
            yield from _codes(each)
    elif isinstance(value, (staticmethod, classmethod)):
        yield from _codes(value.__func__)
    elif isinstance(value, functools.cached_property):
        yield from _codes(value.func)
    elif inspect.isfunction(value):
        yield inspect.unwrap(value).__code__


def _read(code: CodeType) -> set[str]:
    """The names that code reads, and the texts in it, as those of `getattr(self, "name")`."""
    found = set()
    for step in dis.get_instructions(code):
        if isinstance(step.argval, CodeType):
            found |= _read(step.argval)
        elif isinstance(step.argval, str) and step.opname.startswith("LOAD_"):
            found.add(step.argval)
    return found


def place(value: Any) -> str:
    """Where a function is, as " (mine.py, line 12)"; empty for what is no function."""
    code = next(_codes(value), None)
    return f" ({Path(code.co_filename).name}, line {code.co_firstlineno})" if code else ""
