"""Turns a user's options into the settings, the execution and the folder of a run.

The command line and Python both use this module. It imports nothing heavy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.config import Execution, Settings, parse_methods
from benchmark.declaration import make, options_of
from benchmark.results.reference import check_reference
from benchmark.storage.folder import folder_to_write
from benchmark.storage.tuned import tuned_methods
from methods.errors import UserError
from methods.paths import given_path


def requested(values: Mapping[str, Any]) -> tuple[Settings, Execution, Path]:
    """Return the settings, the execution and the folder for the options of `run`.

    Raises:
        UserError: the options cannot be used.
    """
    settings, execution = requested_settings(values)
    folder = folder_to_write(values["out"], values["name"], names_in(settings.stream, settings.backbone))
    return settings, execution, folder


def requested_settings(values: Mapping[str, Any]) -> tuple[Settings, Execution]:
    """Return the settings and the execution for the options of `run`.

    Raises:
        UserError: the options cannot be used.
    """
    tuned = None
    if values["tuned"]:
        options = ("preset", "lr", "optimizer", "schedule")
        given = [option for option in options if values[option] is not None]
        if given:
            raise UserError(f"--{given[0]} and --tuned both say how the methods are trained; give one of them")
        tuned = tuned_methods(parse_methods(values["methods"]), given_path("--tuned", values["tuned"]))
        values = {**values, "methods": tuned.specifications}
    settings = make(Settings, options_of(Settings), values)
    execution = make(Execution, options_of(Execution), values, tuned=tuned)
    check_reference(execution.reference, settings.methods)
    return settings, execution


def names_in(*specs: str) -> str:
    """Return the names in specifications, for use in a folder's name."""
    return "-".join(re.sub(r"[^\w.-]+", "-", spec.partition(":")[0]) for spec in specs)
