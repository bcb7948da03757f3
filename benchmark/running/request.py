"""What a user asks for, by the options' names -> the settings, the way to run, and the folder of a run.

The command line and Python share this. This module imports nothing heavy.
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
    """The settings, the way to run, and the folder that the options of `run` mean.

    Raises:
        UserError: they cannot be used.
    """
    settings, execution = requested_settings(values)
    folder = folder_to_write(values["out"], values["name"], names_in(settings.stream, settings.backbone))
    return settings, execution, folder


def requested_settings(values: Mapping[str, Any]) -> tuple[Settings, Execution]:
    """The settings and the way to run that the options of `run` mean.

    Raises:
        UserError: they cannot be used.
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
    """The names in specifications, as a part of a folder's name."""
    return "-".join(re.sub(r"[^\w.-]+", "-", spec.partition(":")[0]) for spec in specs)
