"""`cost`: storage and compute of each method, without data, weights or training."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmark.cli.options import Command, check_least
from benchmark.config import RUN_OPTIONS, Settings
from benchmark.declaration import Option, make, options_of

if TYPE_CHECKING:
    from benchmark.planning.estimate import StreamShape

#: The default shape of the stream whose cost is printed.
SHAPE = {"tasks": 8, "classes": 10, "images": 540, "image_size": 224}

# The other options give the stream's shape here.
_OF_SETTINGS = ("methods", "backbone", "epochs", "batch_size")


def _cost(arguments: argparse.Namespace, argv: list[str]) -> int:
    check_least(arguments, tasks=1, classes=2, images=2, image_size=8)
    asked = {name: getattr(arguments, name) for name in _OF_SETTINGS}
    settings = make(Settings, options_of(Settings), asked)

    from benchmark.planning.estimate import StreamShape

    return cost_command(settings, StreamShape(**{name: getattr(arguments, name) for name in SHAPE}))


COMMAND = Command(
    "cost",
    "storage and compute of each method, without data, weights or training",
    _cost,
    (
        *(RUN_OPTIONS[name] for name in _OF_SETTINGS),
        Option("tasks", int, SHAPE["tasks"], metavar="N", help="length of the stream"),
        Option("classes", int, SHAPE["classes"], metavar="N", help="classes per task"),
        Option("images", int, SHAPE["images"], metavar="N", help="training images per task"),
        replace(RUN_OPTIONS["image_size"], default=SHAPE["image_size"], help="height and width of the images"),
        RUN_OPTIONS["plugin"],
        RUN_OPTIONS["config"],
    ),
)


def cost_command(settings: Settings, shape: StreamShape) -> int:
    """Print the cost of methods on a stream of `shape`: returns the exit status."""
    from benchmark.planning.estimate import estimate
    from benchmark.report.tables import compute_display, storage_display
    from benchmark.report.text import to_text

    parameters, compute = estimate(settings, shape)
    print(to_text(storage_display(parameters)), to_text(compute_display(compute)), sep="\n")
    return 0
