"""A setting is declared once, as a field of a dataclass; command line, files and Python use this declaration."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from methods.options import Spec

T = TypeVar("T")


@dataclass(frozen=True)
class Option:
    """An option that a user may set.

    Attributes:
        name: with underscores; the command line and files write it with dashes.
        kind: the type of the value, or of each value: bool, int, float or str.
        default: the value if the user gives none.
        help: one line; the default, if any, is added to it.
        metavar: the word for the value in the help; empty for the name in capitals.
        choices: the only allowed values; empty to allow all.
        group: the heading in the help; empty for the first one.
        required: whether the user must give it.
        read: for options with several values: text, or a list of given values -> the values; None for one value.
        repeated: whether the command line gives the option once for each value.
        field: the name of the dataclass's field.
    """

    name: str
    kind: type = str
    default: Any = None
    help: str = ""
    metavar: str = ""
    choices: tuple[str, ...] = ()
    group: str = ""
    required: bool = False
    read: Callable[[Any], Any] | None = None
    repeated: bool = False
    field: str = ""

    @property
    def flag(self) -> str:
        """The option as written on the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def several(self) -> bool:
        """Whether it may have more than one value."""
        return self.read is not None or self.repeated

    def from_text(self, text: str) -> Any:
        """The value of a text.

        Raises:
            ValueError: the text is not a value; the message has argparse's words.
        """
        if self.choices and text not in self.choices:
            raise ValueError(f"invalid choice: {text!r} (choose from {', '.join(self.choices)})")
        if self.several or self.kind is str:
            return text
        try:
            if self.kind is not bool:
                return self.kind(text)
        except ValueError:
            pass
        raise ValueError(f"invalid {self.kind.__name__} value: {text!r}")

    def from_file(self, value: Any) -> Any:
        """The value of a file's entry, which already has a type.

        Raises:
            ValueError: it has another type, or is not one of the choices; the message says what would be right.
        """
        if self.several and isinstance(value, list) and all(map(self._fits, value)):
            return value
        if self.several and isinstance(value, str):
            return [value] if self.repeated else value
        if not self._fits(value):
            words = {bool: "true or false", int: "a whole number", float: "a number", str: "text in quotes"}
            lists = {int: "a whole number or a list of them", str: "text in quotes or a list of such texts"}
            raise ValueError(f"must be {(lists if self.several else words)[self.kind]}")
        if self.choices and value not in self.choices:
            raise ValueError(f"must be one of {', '.join(self.choices)}")
        return value

    def _fits(self, value: Any) -> bool:
        accepted = (int, float) if self.kind is float else self.kind
        # True is an int in Python.
        return isinstance(value, accepted) and (self.kind is bool or not isinstance(value, bool))


def setting(default: Any = dataclasses.MISSING, **about: Any) -> Any:
    """A field of a dataclass that is an Option: `epochs: int = setting(8, help="passes", metavar="N")`.

    Args:
        default: the field's default; without one, the option is required.
        about: attributes of the Option. Name, kind, choices and `required` follow from the field.
    """
    return dataclasses.field(default=default, metadata={"option": about})


def options_of(*classes: type) -> tuple[Option, ...]:
    """The options that the fields of dataclasses declare, in their order."""
    return tuple(option for cls in classes for option in _options(cls))


def _options(cls: type) -> list[Option]:
    hints = typing.get_type_hints(cls)
    return [_option(field, hints[field.name]) for field in dataclasses.fields(cls) if "option" in field.metadata]


def _option(field: dataclasses.Field[Any], hint: Any) -> Option:
    kind, choices = _kind(hint)
    required = field.default is dataclasses.MISSING
    own = {"name": field.name, "kind": kind, "choices": choices, "default": None if required else field.default}
    return Option(**(own | {"required": required, "field": field.name} | field.metadata["option"]))


def list_items(asked: str | Iterable[Any]) -> list[Any]:
    """The items of a list, or of a text with commas, without empty ones."""
    items = asked.split(",") if isinstance(asked, str) else asked
    return [item for item in (each.strip() if isinstance(each, str) else each for each in items) if item != ""]


def _kind(hint: Any) -> tuple[type, tuple[str, ...]]:
    """The type of a field's value, or of each of its values, and its choices."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return str, arguments
    if origin in (typing.Union, types.UnionType, tuple):
        # None means "not given", an ellipsis "and so on".
        return _kind(next(each for each in arguments if each not in (type(None), ...)))
    return (str if hint is Spec else hint), ()


def make(cls: Callable[..., T], options: Sequence[Option], values: Mapping[str, Any], **others: Any) -> T:
    """A `cls` from the given values of options, and from `others`, by field.

    Raises:
        UserError: a value cannot be used.
    """
    given = {option.field: values[option.name] for option in options if option.name in values}
    for option in options:
        if option.read is not None and option.field in given:
            given[option.field] = option.read(given[option.field])
    return cls(**(given | others))
