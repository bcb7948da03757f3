"""How each method was trained, with every default: a table of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.report.table import EMPTY, Table, TableCell
from benchmark.storage.manifest import Manifest
from methods.options import value_text

#: What each column says; the recipe's own words are in methods/recipe.py.
_MEANINGS = {
    "optimizer": "sgd, adam, adamw or rmsprop, as torch has them.",
    "lr": "The initial learning rate.",
    "momentum": "Of sgd.",
    "weight_decay": "The share of a weight that each step takes off (adamw), or the coefficient of an L2 penalty.",
    "clip": "The largest norm of a step's gradient; 0 for no limit.",
    "schedule": "How the learning rate falls over the epochs.",
    "warmup_epochs": "The epochs in which the learning rate rises.",
    "layer_decay": "The learning rate of a block of a transformer, divided by that of the block above it.",
    "patience": "After how many epochs without a better one on validation images a task ends; 0: never.",
    "keep": "Whether the last epoch or the best one on validation images stays.",
}

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
            TableCell(label),
            *(TableCell(_text(entry["recipe"][name]) if name in entry["recipe"] else EMPTY) for name in names),
            TableCell(", ".join(f"{name}={_text(value)}" for name, value in entry["options"].items()) or EMPTY),
        )
        for label, entry in resolved.items()
    ]
    headers = ("Method", *(name.replace("_", " ").capitalize() for name in names), "Options")
    meanings = (
        "The label: the specification as it was typed.",
        *(_MEANINGS.get(name, "") for name in names),
        "The method's own options; `methods NAME` explains them.",
    )
    return Table("recipes", _CAPTION, headers, tuple(rows), meanings, words=len(headers))


def _text(value: Any) -> str:
    return EMPTY if value is None else value_text(value)
