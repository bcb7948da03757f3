"""JSON files that may hold anything: one kind of error, and checks that the content is whole and as expected."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: A type; or [shape], a list of such values; or {key: shape}, an object: the value of each key, if present, fits.
Shape = type | list[Any] | Mapping[str, Any]

_SEAL = re.compile(rb'\{\n "sha256": "([0-9a-f]{64})",\n')


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


def sealed(text: str) -> bytes:
    """The text of a JSON object with a new first entry: the SHA-256 of all bytes after it."""
    rest = text.removeprefix("{").removeprefix("\n").encode()
    return b'{\n "sha256": "%s",\n%s' % (hashlib.sha256(rest).hexdigest().encode(), rest)


def unsealed(content: bytes) -> dict[str, Any] | None:
    """The object in the content of a file, without that entry; None if it is damaged.

    Files of older versions have no such entry, and are accepted as they are.
    """
    seal = _SEAL.match(content)
    if seal and hashlib.sha256(content[seal.end() :]).hexdigest().encode() != seal[1]:
        return None
    try:
        found = parse_json(content)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    found.pop("sha256", None)
    return found


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
