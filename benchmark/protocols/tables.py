"""Tables of a protocol's file, checked: every message names the file, the table and the entry."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.running.config_file import shown_value
from methods.errors import UserError
from methods.names import did_you_mean

_WORDS = {
    str: "text in quotes",
    dict: "a table",
    list: "a list",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
}


class Number(float):
    """A number that knows how many digits its text has after the point: of 1.5e3 it is -2."""

    digits: int

    def __new__(cls, text: str) -> Number:
        number = super().__new__(cls, text)
        mantissa, _, exponent = text.replace("_", "").lower().partition("e")
        number.digits = len(mantissa.partition(".")[2]) - int(exponent or 0)
        return number


@dataclass(frozen=True)
class Place:
    """A table of the file, for messages: "reproduce FILE, [parts.task]"."""

    file: Path
    table: str = ""

    def __str__(self) -> str:
        return f"reproduce {self.file}" + (f", [{self.table}]" if self.table else "")

    def inside(self, table: str) -> Place:
        """A table in this one."""
        return Place(self.file, f"{self.table}.{table}" if self.table else table)

    def refuse(self, why: str) -> UserError:
        """The error with a reason."""
        return UserError(f"{self}: {why}")


def check_table(
    table: Mapping[str, Any], known: Mapping[str, type], place: Place, required: Sequence[str] = ()
) -> None:
    """Check a table's keys, and the types of their values.

    Raises:
        UserError: a key is unknown or missing, or a value has another type.
    """
    for key, value in table.items():
        if key not in known:
            raise place.refuse(f"'{key}' is unknown: {did_you_mean(key, list(known))}valid are {', '.join(known)}")
        if not _fits(value, known[key]):
            raise place.refuse(f"{key} = {shown_value(value)} must be {_WORDS[known[key]]}")
    for key in required:
        if key not in table:
            raise place.refuse(f"'{key}' is missing; it must be {_WORDS[known[key]]}")


def _fits(value: Any, kind: type) -> bool:
    """Whether a value is of this type; a number must be finite."""
    # True is an int in Python.
    if isinstance(value, bool):
        return kind is bool
    # TOML's whole numbers have 64 bits, and Python's have no limit.
    if isinstance(value, int):
        return kind in (int, float) and abs(value) < 2**63
    if isinstance(value, float):
        return kind is float and math.isfinite(value)
    return isinstance(value, kind)
