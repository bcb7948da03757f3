"""Finds what a method leaves on its instance at the end of a task, where the next task's instance does not have it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from torch import Tensor

from methods.method import Method
from methods.mistakes import own_bases, read_of_self
from methods.step import Step

_END = "after_training_exp"

# Functions that run on the instance that has learned the task, after it was learned.
_LATER = (_END, "stored")

# Attribute -> its value, and what is another number once the value was changed in place.
_Marks: TypeAlias = Mapping[str, tuple[Any, int]]


def watched(method: Method, lost: list[str]) -> Method:
    """Return the method, which adds now to `lost` the attributes that are set at the end of a task in vain.

    These are the attributes that nothing sets while the task is learned, that `after_training_exp` sets or changes, and
    that a function reads which runs before it: it must mean the task before.

    Args:
        method: a fresh instance.
    """
    made, end = _marks(method), method.after_training_exp

    def ended(step: Step) -> None:
        before = _marks(method)
        end(step)
        now, read = _marks(method), _read_early(type(method))
        lost.extend(
            name
            for name in now
            if name in read and now[name][0] is not None and _same(made, before, name) and not _same(before, now, name)
        )

    method.after_training_exp = ended  # type: ignore[method-assign]
    return method


def _marks(method: Method) -> _Marks:
    return {name: (value, _changes(value)) for name, value in vars(method).items()}


def _changes(value: Any) -> int:
    if isinstance(value, Tensor):
        # Those of torch.inference_mode do not count their changes.
        return 0 if value.is_inference() else int(value._version)
    return len(value) if isinstance(value, (list, dict, set)) else 0


def _same(first: _Marks, second: _Marks, name: str) -> bool:
    """Whether an attribute has the same value twice, or is twice not there."""
    if name not in first or name not in second:
        return name not in first and name not in second
    (value, changes), (other, more) = first[name], second[name]
    return value is other and changes == more


def _read_early(cls: type[Method]) -> set[str]:
    """The names that are read by the functions of a class that run before the end of a task, and by what they call."""
    own = {name: value for base in reversed(own_bases(cls)) for name, value in vars(base).items()}
    found: set[str] = set()
    reached = [name for name in own if hasattr(Method, name) and name not in (*_LATER, "__init__")]
    while reached:
        new = read_of_self(own[reached.pop()]) - found
        found |= new
        reached += [name for name in new if name in own]
    return found
