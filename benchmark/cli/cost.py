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
SHAPE = {"tasks": 8, "classes": 10, "images": 540}
# The images' height and width, unless the backbone takes only another one.
_IMAGE_SIZE = 224

# The other options give the stream's shape here.
_OF_SETTINGS = ("methods", "backbone", "scenario", "epochs", "batch_size")


def _cost(arguments: argparse.Namespace, argv: list[str]) -> int:
    check_least(arguments, tasks=1, classes=2, images=2, image_size=8)
    asked = {name: getattr(arguments, name) for name in _OF_SETTINGS}
    settings = make(Settings, options_of(Settings), asked)

    given = {name: getattr(arguments, name) for name in SHAPE}
    return cost_command(settings, shape_for(settings.backbone, arguments.image_size, **given))


def shape_for(backbone: str, image_size: int | None, tasks: int, classes: int, images: int) -> StreamShape:
    """Return the shape of a stream whose images suit a backbone.

    Raises:
        UserError: the backbone does not exist, or takes only images of another size.
    """
    from benchmark.backbones import backbone_of
    from benchmark.planning.estimate import StreamShape
    from benchmark.planning.preparation import image_size_for

    size = image_size_for(backbone_of(backbone), image_size) or _IMAGE_SIZE
    return StreamShape(tasks, classes, images, size)


COMMAND = Command(
    "cost",
    "storage and compute of each method, without data, weights or training",
    _cost,
    (
        *(RUN_OPTIONS[name] for name in _OF_SETTINGS),
        Option("tasks", int, SHAPE["tasks"], metavar="N", help="length of the stream"),
        Option("classes", int, SHAPE["classes"], metavar="N", help="classes per task"),
        Option("images", int, SHAPE["images"], metavar="N", help="training images per task"),
        replace(
            RUN_OPTIONS["image_size"],
            help=f"height and width of the images; {_IMAGE_SIZE}, unless the backbone takes only its own",
        ),
        RUN_OPTIONS["plugin"],
        RUN_OPTIONS["config"],
    ),
)


def cost_command(settings: Settings, shape: StreamShape) -> int:
    """Print the cost of methods on a stream of `shape`: returns the exit status."""
    from benchmark.planning.estimate import estimate
    from benchmark.planning.scenarios import check_scenario
    from benchmark.progress.terminal import loading
    from benchmark.report.tables import compute_display, storage_display
    from benchmark.report.text import to_text
    from methods.configured import configure

    check_scenario(settings.scenario, [configure(spec) for spec in settings.methods])
    with loading() as (_, warn):
        parameters, compute = estimate(settings, shape, warn)
    print(to_text(storage_display(parameters)), to_text(compute_display(compute)), sep="\n")
    return 0
