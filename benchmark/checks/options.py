"""Checks of options, which methods, streams and backbones all have."""

from __future__ import annotations

import inspect
from typing import Protocol

from benchmark.checks.base import Check, WrongError
from benchmark.checks.docstring import DIFFERENCES, read_docstring
from methods.errors import UserError, first_line
from methods.options import Spec, call, construct, option_types, option_values, parse_spec, value_text

# Numbers that many options refuse. They must refuse them with a ValueError that has a message.
_ODD = {int: ("0", "-1", "1000000000"), float: ("0", "-1", "1e30")}


class Configured(Protocol):
    """An object with options."""

    @property
    def spec(self) -> Spec:
        """The specification."""

    @property
    def foreign(self) -> bool:
        """Whether its documentation comes from another library with other rules."""

    @property
    def cls(self) -> type:
        """Its class."""

    def values(self) -> dict[str, object]:
        """Return option -> value for an instance made from the specification."""


def place_of(cls: type) -> str:
    """Return where a class is defined, for messages."""
    try:
        return f"{cls.__name__} ({inspect.getsourcefile(cls)}, line {inspect.getsourcelines(cls)[1]})"
    except (OSError, TypeError):
        return cls.__name__


def described(subject: Configured) -> None:
    """Its docstring starts with a summary line, has an entry in "Args:" for each option, and sections in their form."""
    cls = subject.cls
    text = (vars(cls).get("__doc__") or "").strip()
    if not text:
        raise WrongError(f"{place_of(cls)} has no docstring; its first line is what the list of names shows: write one")
    if subject.foreign:
        return
    said = read_docstring(text)
    found, wanted = [name for name, _ in said.options], list(option_types(cls))
    missing, unknown = [name for name in wanted if name not in found], [name for name in found if name not in wanted]
    if missing:
        raise WrongError(
            f"the docstring of {place_of(cls)} does not describe the option '{missing[0]}'; write a line "
            f"'{missing[0]}: ...' under 'Args:'"
        )
    if unknown:
        raise WrongError(f"the docstring of {place_of(cls)} describes '{unknown[0]}', which is no option; remove it")
    if found != wanted:
        raise WrongError(
            f"the docstring of {place_of(cls)} has its options in another order; write {', '.join(wanted)}"
        )
    if said.stray:
        raise WrongError(
            f"the docstring of {place_of(cls)} has '{said.stray[0]}' under '{DIFFERENCES}', which is no item; write "
            "'topic: sentence', indented by four spaces, and indent further what goes on in the next line"
        )


def stored(subject: Configured) -> None:
    """Each option is an attribute with the same name, and these values make the same instance again."""
    cls = subject.cls
    try:
        values = subject.values()
    except AttributeError as error:
        raise WrongError(f"{place_of(cls)} does not store each option under its own name: {error}; store it") from None
    given = {name: value for name, value in values.items() if value is not None}
    texts = {name: value_text(value) if isinstance(value, bool) else str(value) for name, value in given.items()}
    again = option_values(construct(cls, Spec(subject.spec.text, subject.spec.name, "", texts)))
    for name, value in values.items():
        if again[name] != value:
            raise WrongError(
                f"{place_of(cls)} stores {value!r} as '{name}', and {again[name]!r} where it is made with that; store "
                "options as they are given"
            )


def refused(subject: Configured) -> None:
    """An option's value is accepted, or refused with a ValueError that has a message."""
    cls, spec = subject.cls, subject.spec
    given = {name: value for name, value in subject.values().items() if value is not None}
    for name, wanted in option_types(cls).items():
        for text in _ODD.get(wanted, ()):
            asked = f"{spec.name}:{name}={text}"
            try:
                call(cls, parse_spec(asked), {**given, name: wanted(text)})
            except UserError as error:
                if str(error).endswith(": "):
                    raise WrongError(
                        f"{asked} is refused by {place_of(cls)} without a word; say in the ValueError what "
                        "would be right"
                    ) from None
            except Exception as error:  # a constructor can raise anything
                raise WrongError(
                    f"{asked} ends in {first_line(error)} in {place_of(cls)}; refuse such values in the constructor "
                    "with a ValueError that says what would be right"
                ) from error


OPTION_CHECKS: tuple[Check[Configured], ...] = (
    Check("its docstring describes it and each option", described),
    Check("options are stored under their own names", stored),
    Check("values of options are taken, or refused in words", refused),
)
