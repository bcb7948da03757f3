"""`cost`: storage, compute and time of each method, without data, weights or training."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmark.cli.options import Command, check_least
from benchmark.config import RUN_OPTIONS, Settings
from benchmark.declaration import Option, make, options_of
from benchmark.streams import VALIDATION

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.planning.estimate import StreamShape
    from benchmark.report.table import Table
    from methods.network import Network

#: The default shape of the stream whose cost is printed.
SHAPE = {"tasks": 8, "classes": 10, "images": 540}
# The other options give the stream's shape here.
_OF_SETTINGS = ("methods", "backbone", "scenario", "epochs", "batch_size", "device", "precision")


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

    source = backbone_of(backbone)
    size = image_size_for(source, image_size) or source.usual_image_size
    # As many beside the training images as `run` holds out of them by default.
    return StreamShape(tasks, classes, images, size, validation=round(images * VALIDATION / (100 - VALIDATION)))


COMMAND = Command(
    "cost",
    "storage, compute and time of each method, without data, weights or training",
    _cost,
    (
        *(RUN_OPTIONS[name] for name in _OF_SETTINGS),
        Option("tasks", int, SHAPE["tasks"], metavar="N", help="length of the stream"),
        Option("classes", int, SHAPE["classes"], metavar="N", help="classes per task"),
        Option("images", int, SHAPE["images"], metavar="N", help="training images per task"),
        replace(
            RUN_OPTIONS["image_size"],
            help="height and width of the images; default: 224, 32 for mini, or the only ones that the backbone takes",
        ),
        RUN_OPTIONS["plugin"],
        RUN_OPTIONS["config"],
    ),
    of_runs="cost takes the numbers of a stream; `run --dry-run` with that option tells what a run will take",
)


def cost_command(settings: Settings, shape: StreamShape) -> int:
    """Print the cost of methods on a stream of `shape`: returns the exit status."""
    from benchmark.backbones import backbone_of
    from benchmark.planning.estimate import estimate, upper_bound
    from benchmark.planning.scenarios import check_scenario
    from benchmark.progress.terminal import loading
    from benchmark.report.tables import compute_display, storage_display
    from benchmark.report.text import to_text
    from methods.configured import configure

    check_scenario(settings.scenario, [configure(spec) for spec in settings.methods])
    with loading() as (note, warn):
        parameters, compute = estimate(settings, shape, warn)
        note("timing training steps")
        backbone = backbone_of(settings.backbone).network(weights=False)
        times = forecast_table(settings, shape, backbone, parameters, compute)
    tables = (storage_display(parameters), compute_display(compute), times)
    print(*map(to_text, tables), sep="\n")
    for spec in settings.methods:
        if text := upper_bound(configure(spec, **settings.recipe)):
            print(text)
    return 0


def forecast_table(
    settings: Settings,
    shape: StreamShape,
    backbone: Network,
    parameters: pd.DataFrame,
    compute: pd.DataFrame,
    repetitions: int = 1,
) -> Table:
    """How long each method trains on this machine, and what its states take on the disk.

    Args:
        settings: give the device and the precision.
        shape: of the stream.
        backbone: the network; its values do not matter.
        parameters, compute: from `estimate`.
        repetitions: seeds in orders.

    Raises:
        UserError: the device is not there.
    """
    from benchmark.planning.forecast import decoded_bytes, forecast, measure_speed
    from benchmark.planning.preparation import choose_device
    from benchmark.report.forecast import forecast_display
    from benchmark.report.table import bytes_text

    device = choose_device(settings.device)
    speed = measure_speed(backbone, shape.classes, shape.image_size, settings.batch_size, device, settings.precision)
    caption = (
        f"What it takes here ({'one seed' if repetitions == 1 else f'{repetitions} repetitions'}, one cell at a time): "
        f"plain fine-tuning was timed at {speed.images_per_second:,.3g} images a second ({speed.device}), and all "
        "operations are taken to be as fast. Evaluations come on top, and methods with many small operations take "
        f"longer. The decoded training images take {bytes_text(decoded_bytes(shape, backbone.channels))}."
    )
    return forecast_display(forecast(parameters, compute, speed, repetitions), caption)
