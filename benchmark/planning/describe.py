"""Describes one method: its documentation, its options, how it divides the tensors, and its cost."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

import methods
from benchmark.config import RUN_OPTIONS, Settings
from benchmark.learning.learner import prepare, start
from benchmark.planning.estimate import Simulation, StreamShape, empty_backbone, estimate, upper_bound
from benchmark.planning.usable import refusal
from benchmark.report.table import EMPTY, Table, bytes_text
from benchmark.report.tables import compute_display, storage_display
from benchmark.report.text import aligned
from benchmark.storage.state import tensor_bytes
from methods.configured import ConfiguredMethod, configure
from methods.options import option_defaults, option_types, value_text
from methods.recipe import Range, Recipe

# How many patterns of tensor names are shown for a part.
_SHOWN = 8

_TRANSFORMER = "mini-vit"

# What the letters of docstrings mean, by the patterns of their uses.
_LETTERS = {
    r"(?<![A-Za-z_])C(?!\w)": "C: the output channels of all convolutions",
    r"(?<![A-Za-z_])C3(?!\w)": "C3: the output channels of the convolutions larger than 1x1",
    r"(?<![A-Za-z_])D(?!\w)": "D: the number of features, or the width of a transformer's tokens",
    r"\d ?P(?!\w)": "P: the parameters of the backbone",
}


@dataclass(frozen=True)
class Option:
    """An option as text for a reader.

    Attributes:
        name: its name in a specification.
        values: its type, or its possible values.
        default: the method's default; "required" if there is none.
        given: the value in the specification; empty if there is none.
        tried: the values that `tune` tries; empty if there are none.
    """

    name: str
    values: str
    default: str
    given: str
    tried: str


@dataclass(frozen=True)
class Part:
    """The content of a part of the state after the first task.

    Attributes:
        name: "frozen", "shared", "task" or "memory".
        tensors, values, bytes: their numbers.
        patterns: the tensors' names, see name_patterns.
    """

    name: str
    tensors: int
    values: int
    bytes: int
    patterns: tuple[str, ...]


@dataclass(frozen=True)
class Description:
    """A method's description for a reader.

    Attributes:
        label: its specification.
        documentation: its class's documentation.
        code: the file that defines it, from the project's folder on if it is there; empty if there is none.
        options, recipe: its own options, and its training options; it has none of these without gradient steps.
        scenarios: the scenarios in which it has an answer of its own.
        parts: how it divides the tensors.
        setting: the network and the stream of the tables.
        storage, compute: the tables that `cost` prints, for this method only.
    """

    label: str
    documentation: str
    code: str
    options: tuple[Option, ...]
    recipe: tuple[Option, ...]
    scenarios: tuple[str, ...]
    parts: tuple[Part, ...]
    setting: str
    storage: Table
    compute: Table


def shown_on(spec: str) -> str:
    """Return where a method is described if no backbone is given: on the default, or on a transformer if it needs one.

    Raises:
        UserError: there is no such method or option.
    """
    default: str = RUN_OPTIONS["backbone"].default
    return default if refusal(empty_backbone(default), configure(spec)) is None else _TRANSFORMER


def describe(settings: Settings, shape: StreamShape) -> Description:
    """Describe the one method of `settings` on its backbone and a stream of `shape`, without data or weights.

    Raises:
        UserError: the method or the backbone cannot be used.
    """
    (spec,) = settings.methods
    method = configure(spec)
    cls = method.cls
    parameters, compute = estimate(settings, shape)

    def options(annotations: Mapping[str, Any], defaults: Mapping[str, Any]) -> tuple[Option, ...]:
        return tuple(
            Option(
                name,
                _values(annotation),
                value_text(defaults[name]) if name in defaults else "required",
                given.get(name, ""),
                _tried(method.search.get(name, ())),
            )
            for name, annotation in annotations.items()
        )

    own = option_types(cls)
    # A value after the name without "option=" belongs to the first option.
    given = {**dict.fromkeys(list(own)[:1], spec.positional), **spec.options}
    return Description(
        label=spec.text,
        documentation=inspect.getdoc(cls) or "",
        code=code_file(cls),
        options=options(own, option_defaults(cls)),
        recipe=options(option_types(Recipe), asdict(cls.recipe)) if cls.learns_in_steps else (),
        scenarios=cls.scenarios,
        parts=tuple(_parts(settings, shape, method)),
        setting=(
            f"backbone {settings.backbone}, {shape.tasks} tasks of {shape.classes} classes and {shape.images} training "
            f"images of {shape.image_size}x{shape.image_size}, {settings.epochs} epochs"
            + (f"; {bound}" if (bound := upper_bound(method)) else "")
        ),
        storage=storage_display(parameters),
        compute=compute_display(compute),
    )


def code_file(cls: type) -> str:
    """The file that defines a class, from the project's folder on if it is there; empty for a class of a notebook."""
    try:
        file = Path(inspect.getsourcefile(cls) or "")
    except (OSError, TypeError):
        return ""
    project = Path(methods.__file__).parents[1]
    return (file.relative_to(project) if file.is_relative_to(project) else file).as_posix() if file.name else ""


def _letters(documentation: str) -> str:
    """Return what the letters in a docstring mean, as a line; empty if it uses none."""
    return "; ".join(meaning for pattern, meaning in _LETTERS.items() if re.search(pattern, documentation))


def _parts(settings: Settings, shape: StreamShape, method: ConfiguredMethod) -> Iterator[Part]:
    simulated = Simulation(empty_backbone(settings.backbone), method, settings, shape)
    state = simulated.learn(start(simulated.cell)).state
    frozen = prepare(simulated.cell, 1).take("frozen")
    contents: dict[str, dict[str, Tensor]] = {
        "frozen": frozen,
        "shared": state.shared,
        "task": state.tasks[1],
        "memory": state.memory,
    }
    for name, tensors in contents.items():
        values = sum(tensor.numel() for tensor in tensors.values())
        yield Part(name, len(tensors), values, tensor_bytes(tensors), name_patterns(tensors))


def name_patterns(names: Iterable[str]) -> tuple[str, ...]:
    """Return short patterns of tensor names: numbers become *, and tensors of one module are joined.

    `layer1.0.bn1.weight`, `layer1.0.bn1.bias` and `layer2.0.bn1.weight` become `layer*.*.bn*.{weight, bias}`.
    """
    leaves: dict[str, dict[str, None]] = {}
    for name in names:
        owner, dot, leaf = re.sub(r"\d+", "*", name).rpartition(".")
        leaves.setdefault(owner + dot, {})[leaf] = None
    return tuple(
        owner + (next(iter(own)) if len(own) == 1 else f"{{{', '.join(own)}}}") for owner, own in leaves.items()
    )


def _values(annotation: Any) -> str:
    """Return what an option's annotated type accepts."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        # In a union, the last type accepts all that the others accept: int | float.
        return _values([argument for argument in arguments if argument is not type(None)][-1])
    if origin is Literal:
        return ", ".join(arguments)
    names = {bool: "true, false", int: "whole number", float: "number", str: "text"}
    # The name of a special class, such as MemorySize, becomes words.
    return names.get(annotation) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", annotation.__name__).lower()


def _tried(space: Range | tuple[Any, ...]) -> str:
    if isinstance(space, Range):
        return f"{space.low:g} to {space.high:g}{', logarithmic' if space.log else ''}"
    return ", ".join(map(value_text, space))


_PART_TITLES = {
    "frozen": "Frozen, referred to instead of stored",
    "shared": "Shared by all tasks",
    "task": "Per task",
    "memory": "Memory",
}


def to_text(description: Description) -> str:
    """Return a description as text for a terminal."""
    sections = [
        f"{description.label}\n\n{description.documentation}",
        _letters(description.documentation),
        description.code and f"Code: {description.code}",
        _options_text("Options", description.options),
        _options_text("Training options", description.recipe),
        f"Scenarios: {', '.join(description.scenarios)}",
        "\n".join(["Tensors, after one task", *(line for part in description.parts for line in _part_lines(part))]),
        "\n".join([f"Cost: {description.setting}", *_cost_lines(description.storage, description.compute)]),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _options_text(title: str, options: tuple[Option, ...]) -> str:
    if not options:
        return ""
    columns = [
        (title, [f"  {option.name}" for option in options]),
        ("values", [option.values for option in options]),
        ("default", [option.default for option in options]),
        ("here", [option.given for option in options]),
        ("tune tries", [option.tried for option in options]),
    ]
    used = [[heading, *cells] for heading, cells in columns if any(cells)]
    return "\n".join(aligned(list(zip(*used, strict=True))))


def _part_lines(part: Part) -> list[str]:
    title = _PART_TITLES[part.name]
    if not part.tensors:
        return [f"  {title}: nothing"]
    size = f"{part.values:,} values, {bytes_text(part.bytes)}, in {part.tensors} tensor{'s' * (part.tensors > 1)}"
    more = len(part.patterns) - _SHOWN
    rest = [f"    and {more} more"] if more > 0 else []
    return [f"  {title}: {size}", *(f"    {pattern}" for pattern in part.patterns[:_SHOWN]), *rest]


def _cost_lines(*tables: Table) -> list[str]:
    rows = [
        (f"  {header}", cell.text)
        for table in tables
        for header, cell in zip(table.headers[1:], table.rows[0][1:], strict=True)
        if cell.text != EMPTY
    ]
    return aligned(rows, right={1})
