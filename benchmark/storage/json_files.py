"""JSON files that may hold anything: one kind of error, and a check that the content is as expected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: A type; or [shape], a list of such values; or {key: shape}, an object: the value of each key, if present, fits.
Shape = type | list[Any] | Mapping[str, Any]


def read_json(path: Path) -> Any:
    """The content of a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not JSON, or nested more deeply than this program's files.
    """
    return parse_json(path.read_bytes())


def parse_json(content: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: see read_json.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def misfit(content: Any, shape: Shape, place: str = "") -> str | None:
    """The first place in `content` that has another shape, for example `cells[2].seed`; None if all of it fits.

    Args:
        place: the name of `content` in messages; empty for a whole file.
    """
    if isinstance(shape, list):
        if not isinstance(content, list):
            return place
        parts = [(entry, shape[0], f"{place}[{number}]") for number, entry in enumerate(content)]
    elif isinstance(shape, Mapping):
        if not isinstance(content, dict):
            return place
        prefix = f"{place}." if place else ""
        parts = [(content[key], each, f"{prefix}{key}") for key, each in shape.items() if key in content]
    else:
        # True is an int in Python.
        fits = isinstance(content, shape) and (shape is bool or not isinstance(content, bool))
        return None if fits else place
    return next((found for part in parts if (found := misfit(*part)) is not None), None)
