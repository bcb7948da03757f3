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

# From this likeness on, a name that nobody uses is taken for a misspelt one: "adopt" and "adapt" are just as like.
_ALIKE = 0.8

_MEANT = tuple(name for name in (*vars(Method), *Method.__annotations__) if not name.startswith("_"))


def refuse_mistakes(cls: type[Method], owner: str) -> None:
    """Refuse a class with a mistake that would let it learn something else than its author means.

    Args:
        owner: what the class is, for the message.

    Raises:
        UserError: the class has a function or a setting that nobody uses, and whose name is nearly that of one which
            the program uses; or its constructor leaves out that of the class that it is derived from.
    """
    for base in own_bases(cls):
        for name, value in vars(base).items():
            said = _misnamed(name, value)
            if said and not _is_used(name, cls):
                raise UserError(f"{owner}: {said.format(f'{name!r}{place(value)}')}")
    _refuse_forgotten_constructor(cls, owner)


def read_names(function: Any) -> set[str]:
    """The names that a function, a property or the functions of a class read, and the texts in them."""
    return {name for code in _codes(function) for name in _read(code)}


def _misnamed(name: str, value: object) -> str:
    """What to say of an attribute if nobody uses it, with {} for it; empty if there is nothing to say."""
    if name.startswith("__") or (hasattr(Method, name) and "_eval" not in name) or name in Method.__annotations__:
        return ""
    if name.startswith(("before_", "after_")) and any(_codes(value)):
        close = difflib.get_close_matches(name, HOOKS, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"hooks are {', '.join(HOOKS)}"
        return f"{{}} is no hook, so that it never runs; {hint}"
    close = difflib.get_close_matches(name, _MEANT, n=1, cutoff=_ALIKE)
    if not close:
        return ""
    return f"nothing uses {{}}; did you mean '{close[0]}'? If not, give it a name that is less like that"


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


def _refuse_forgotten_constructor(cls: type, owner: str) -> None:
    """Refuse a constructor that does not call another one where the class is derived from one that has its own."""
    made = [base for base in own_bases(cls) if "__init__" in vars(base)]
    for base in made[:-1]:
        constructor = vars(base)["__init__"]
        if not {"super", "__init__"} & read_names(constructor):
            raise UserError(
                f"{owner}: {base.__name__}.__init__{place(constructor)} does not call super().__init__(), so that "
                "what it is derived from is not set up; write that as its first line"
            )


def _codes(value: Any) -> Iterator[CodeType]:
    """The code of a function, of what wraps one, and of all functions of a class."""
    if isinstance(value, type):
        for each in vars(value).values():
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
