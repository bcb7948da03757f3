"""Specifications, `NAME[:POSITIONAL][:option=value...]`, and the constructors they call.

A constructor's signature is its command line: `ewc:strength=500` calls `EWC(strength=500.0)`, each value converted to
the annotated type of its parameter. The rule is the same for methods, streams and backbones. `Annotated[TYPE, "why"]`
is TYPE, and a value that it does not have is refused with the reason "why".
"""

from __future__ import annotations

import contextlib
import inspect
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from methods.errors import UserError
from methods.names import check_name, did_you_mean

T = TypeVar("T")

# A colon starts an option only if "name=" follows, so that paths and values like "seed:7" may contain colons.
_OPTION_START = re.compile(r":(?=[A-Za-z][A-Za-z0-9_-]*=)")

# A comma that separates the items of a list; a comma after a backslash belongs to an item.
_SEPARATOR = re.compile(r"(?<!\\),")


class Spec(str):
    """A parsed specification: its text, which can be used as a label, and its elements.

    Args:
        text: as the user typed it; the label of its rows.
        name: the text before the first colon.
        positional: the text after the name without "option=", as the DIR of `folder:DIR`; empty if there is none.
        options: option name (with underscores) -> text of its value.
        group: the group that the user named instead of it; empty if the user named it.
    """

    name: str
    positional: str
    options: dict[str, str]
    group: str

    def __new__(cls, text: str, name: str, positional: str, options: dict[str, str], group: str = "") -> Spec:
        spec = super().__new__(cls, text)
        spec.name, spec.positional, spec.options, spec.group = name, positional, options, group
        return spec

    def __getnewargs__(self) -> tuple[Any, ...]:
        # So that copies, and what is sent to workers, are made without parsing again.
        return self.text, self.name, self.positional, self.options, self.group

    def of_group(self, group: str) -> Spec:
        """The same specification, as one that stands for a group's member."""
        return Spec(self.text, self.name, self.positional, self.options, group)

    @property
    def text(self) -> str:
        """The text alone."""
        return str(self)


def parse_spec(text: str) -> Spec:
    """Split `NAME[:POSITIONAL][:option=value...]`. A Spec is returned as it is.

    Raises:
        UserError: the name is empty, an option is given twice, or there are characters that cannot be shown.
    """
    if isinstance(text, Spec):
        return text
    text = text.strip()
    if text:
        check_name("specification", text)
    head, *pairs = _OPTION_START.split(text)
    name, _, positional = head.partition(":")
    if not name:
        raise UserError(f"'{text}' has no name before its first colon; write NAME or NAME:option=value")
    options: dict[str, str] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        key = key.replace("-", "_")
        if key in options:
            raise UserError(f"'{text}' gives option '{key}' twice; give it once")
        options[key] = value
    return Spec(text, name, positional, options)


def split_list(text: str) -> list[str]:
    r"""The items of a list `A,B,C`. A comma in an item is written `\,`."""
    return [item.replace("\\,", ",") for item in _SEPARATOR.split(text)]


def split_specs(text: str) -> list[str]:
    r"""The specifications in a list `A,B,C`. A comma in a value is written `\,`: `mine:words=a\,b` is one."""
    return [item for item in map(str.strip, split_list(text)) if item]


def join_specs(specs: Iterable[str]) -> str:
    """The inverse of `split_specs`."""
    return ",".join(spec.replace(",", "\\,") for spec in specs)


def check_options(cls: type, owner: str) -> None:
    """Refuse a class whose constructor has an option that no text can be converted to.

    Args:
        owner: what the class is, for the message.

    Raises:
        UserError: naming the option, its type, and the types that can be used.
    """
    try:
        types_of = option_types(cls)
    except NameError as error:
        raise UserError(f"{owner}: the type of an option is not known where the class is defined: {error}") from None
    defaults = option_defaults(cls)
    for name, wanted in types_of.items():
        if _parameters(cls)[name].annotation is inspect.Parameter.empty and not isinstance(defaults.get(name, ""), str):
            raise UserError(f"{owner}: option '{name}' has no type; write {name}: {type(defaults[name]).__name__}")
        if not _convertible(wanted):
            raise UserError(
                f"{owner}: option '{name}' has the type {_type_text(wanted)}, to which no text can be converted; use "
                "bool, int, float, str, a Literal of words, a class with a method parse(text), or a union of these"
            )


def option_types(cls: type) -> dict[str, Any]:
    """Option name -> annotated type, from the constructor's signature."""
    return {name: _type_and_reason(p)[0] for name, p in _parameters(cls).items()}


def option_values(instance: object) -> dict[str, Any]:
    """Option name -> value of a constructed instance, which stores each option under its own name."""
    return {name: getattr(instance, name) for name in _parameters(type(instance))}


def option_defaults(cls: type) -> dict[str, Any]:
    """Option name -> default, of the options that have one."""
    return {name: p.default for name, p in _parameters(cls).items() if p.default is not inspect.Parameter.empty}


def required_options(cls: type) -> list[str]:
    """The options without which `cls` cannot be constructed."""
    return [name for name in _parameters(cls) if name not in option_defaults(cls)]


def construct(cls: type[T], spec: Spec, also: Sequence[str] = ()) -> T:
    """Call `cls` with the specification's options.

    Args:
        also: valid options that are not for the constructor, for messages.

    Raises:
        UserError: an option is unknown (the valid ones are named), missing, of the wrong type, or refused by `cls`.
    """
    return call(cls, spec, arguments(cls, spec, also))


def call(cls: type[T], spec: Spec, given: Mapping[str, Any]) -> T:
    """Call `cls` with the options that `arguments` found in the specification.

    Raises:
        UserError: an option is missing, or refused by `cls`.
    """
    for index, key in enumerate(required_options(cls)):
        if key not in given:
            missing = f"{spec.text}:{key}={key.upper()}" if index else f"{spec.name}:{key.upper()}"
            raise UserError(f"'{spec.text}' needs {key.upper()}: write {missing}")
    try:
        return cls(**given)
    except ValueError as error:
        raise UserError(f"'{spec.text}': {error}") from None


def arguments(cls: type, spec: Spec, also: Sequence[str] = ()) -> dict[str, Any]:
    """The specification's options as keyword arguments of `cls`, converted to the annotated types.

    Raises:
        UserError: as `construct`, but options that are missing or refused by `cls` are not noticed.
    """
    parameters = _parameters(cls)
    valid = [*parameters, *also]
    names = f"valid options of {spec.name} are {', '.join(valid)}" if valid else f"{spec.name} takes no options"
    given = dict(spec.options)
    if spec.positional:
        first = next(iter(parameters), None)
        if first is None or parameters[first].default is not inspect.Parameter.empty:
            raise UserError(f"'{spec.text}': '{spec.positional}' is not of the form option=value; {names}")
        if first in given:
            raise UserError(
                f"'{spec.text}' gives {first} twice, as {spec.positional} and as {first}={given[first]}; give it once"
            )
        given = {first: spec.positional, **given}
    converted: dict[str, Any] = {}
    for key, value in given.items():
        if key not in parameters:
            hint = did_you_mean(key, valid)
            raise UserError(f"'{spec.text}' has no option '{key}': {hint}{names}")
        wanted, reason = _type_and_reason(parameters[key])
        try:
            converted[key] = _convert(value, wanted)
        except ValueError as error:
            raise UserError(f"'{spec.text}': option {key}={value} {error}{reason and f': {reason}'}") from None
    return converted


def value_text(value: Any) -> str:
    """An option's value as it is written in a specification."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    parameters = dict(inspect.signature(cls, eval_str=True).parameters)
    return {name: p for name, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}


def _type_and_reason(parameter: inspect.Parameter) -> tuple[Any, str]:
    """A parameter's type, and why it takes no other values; empty if its annotation gives no reason."""
    if typing.get_origin(parameter.annotation) is Annotated:
        wanted, reason, *_ = typing.get_args(parameter.annotation)
        return wanted, reason if isinstance(reason, str) else ""
    return str if parameter.annotation is parameter.empty else parameter.annotation, ""


def _convertible(wanted: Any) -> bool:
    """Whether `_convert` can convert text to this annotation."""
    origin, alternatives = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (typing.Union, types.UnionType):
        return all(alternative is types.NoneType or _convertible(alternative) for alternative in alternatives)
    if origin is Literal:
        return all(isinstance(word, str) for word in alternatives)
    return wanted in (bool, int, float, str) or (isinstance(wanted, type) and callable(getattr(wanted, "parse", None)))


def _type_text(wanted: Any) -> str:
    """An annotation, about as its author wrote it."""
    return wanted.__name__ if type(wanted) is type else str(wanted).replace("typing.", "")


def _convert(text: str, wanted: Any) -> Any:
    """The value that `text` means for the annotation `wanted`. Raises ValueError saying what would be right."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (typing.Union, types.UnionType):
        return _convert_to_first(text, arguments)
    if origin is Literal:
        if text not in arguments:
            raise ValueError(f"is not one of {', '.join(arguments)}")
        return text
    if wanted is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError("is not true or false")
        return text.lower() == "true"
    if wanted is int:
        try:
            return int(text)
        except ValueError:
            raise ValueError("is not a whole number") from None
    if wanted is float:
        try:
            number = float(text)
        except ValueError:
            raise ValueError("is not a number") from None
        if not math.isfinite(number):
            raise ValueError("is not a finite number")
        return number
    if hasattr(wanted, "parse"):
        return wanted.parse(text)
    return text


def _convert_to_first(text: str, alternatives: Sequence[Any]) -> Any:
    """The value by the first type that `text` fits. Raises ValueError saying what the last type would need."""
    if type(None) in alternatives and text.lower() == "none":
        return None
    *others, last = (wanted for wanted in alternatives if wanted is not type(None))
    for wanted in others:
        with contextlib.suppress(ValueError):
            return _convert(text, wanted)
    return _convert(text, last)
