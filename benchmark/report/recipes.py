"""How each method was trained, with every default: a table of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.report.table import EMPTY, Cell, Table
from benchmark.storage.manifest import Manifest
from methods.options import value_text

_CAPTION = (
    "How each method was trained: its recipe, and its own options, with all defaults. What --equal-memory and "
    "--equal-compute changed is in the table of budgets. Empty: the method takes no gradient steps."
)


def recipes_display(manifest: Manifest) -> Table | None:
    """A row for each method; None for runs of versions that did not keep this."""
    resolved: Mapping[str, Any] = manifest.get("methods", {})
    if not resolved:
        return None
    names = list(dict.fromkeys(name for entry in resolved.values() for name in entry["recipe"]))
    rows = [
        (
            Cell(label),
            *(Cell(_text(entry["recipe"][name]) if name in entry["recipe"] else EMPTY) for name in names),
            Cell(", ".join(f"{name}={_text(value)}" for name, value in entry["options"].items()) or EMPTY),
        )
        for label, entry in resolved.items()
    ]
    headers = ("Method", *(name.replace("_", " ").capitalize() for name in names), "Options")
    return Table("recipes", _CAPTION, headers, tuple(rows), words=len(headers))


def _text(value: Any) -> str:
    return EMPTY if value is None else value_text(value)
