"""Estimates the costs of methods on a stream: the real learner learns the first tasks on tensors without data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import mean
from typing import Any

import pandas as pd
import torch

from benchmark.backbones import backbone_of
from benchmark.config import Settings
from benchmark.images.labelled import LabelledImages
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell, LearnedTask, frozen_bytes, learn, start
from benchmark.learning.operations import backbone_size, inference_operations_per_image, training_operations_per_image
from benchmark.learning.origin import origin_of
from benchmark.learning.training import Training
from benchmark.planning.scenarios import learned_as
from benchmark.planning.usable import usable
from benchmark.results.costs import Costs
from benchmark.results.tables import compute_row, parameter_row
from benchmark.storage.records import Records
from benchmark.storage.state import State
from benchmark.streams.base import Stream, Task
from methods.configured import ConfiguredMethod, configure
from methods.errors import UserError, first_line
from methods.network import Network

# After the first task, a method's cost per task is constant or grows by a constant amount. So the difference between
# tasks 2 and 3 gives all later tasks.
_SIMULATED = 3


@dataclass(frozen=True)
class StreamShape:
    """The size of a stream of equal tasks.

    Attributes:
        tasks: number of tasks.
        classes, images: number of classes and of training images per task.
        image_size: height and width in pixels.
        validation: number of validation images per task, which count where a recipe looks at them.
    """

    tasks: int
    classes: int
    images: int
    image_size: int
    validation: int = 0

    @classmethod
    def of(cls, stream: Stream) -> StreamShape:
        """The shape of equal tasks, as many as a stream has, with its mean numbers of classes and images."""
        return cls(
            tasks=len(stream.tasks),
            classes=round(mean(len(task.classes) for task in stream.tasks)),
            images=round(mean(len(task.train) for task in stream.tasks)),
            validation=round(mean(len(task.validation) for task in stream.tasks)),
            image_size=stream.tasks[0].image_size,
        )


def estimate(
    settings: Settings, shape: StreamShape, warn: Callable[[str], None] = lambda text: None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the storage and compute of each method on a stream of `shape`, without data, weights or training.

    Args:
        settings: give the methods, the backbone, the scenario, epochs and batch size.
        shape: the stream's shape.
        warn: called with one line of text for each method that is left out, see planning.usable.

    Returns:
        A frame with the columns of parameters.csv, and one with the columns of compute.csv that measure neither
        seconds nor RAM.

    Raises:
        UserError: a method or the backbone cannot be used.
    """
    pristine = empty_backbone(settings.backbone)
    backbone = backbone_size(pristine)
    widths = [shape.classes * (task if settings.scenario == "class" else 1) for task in range(1, shape.tasks + 1)]
    once = {width: training_operations_per_image(pristine, width, shape.image_size) for width in set(widths)}
    sgd = sum(once[width] for width in widths) * shape.images * settings.epochs
    bare = inference_operations_per_image(pristine, widths[-1], shape.image_size)
    parameters, compute = [], []
    configured = [configure(spec, **settings.recipe) for spec in settings.methods]
    for method in usable(settings, configured, pristine, warn):
        records = simulate(pristine, method, settings, shape)
        parameters.append(parameter_row(method.label, [records], backbone))
        costs = Costs([records], fine_tuning_flops=sgd, bare_inference=bare)
        compute.append(compute_row(method.label, costs, measured=False))
    return pd.DataFrame(parameters), pd.DataFrame(compute)


def upper_bound(method: ConfiguredMethod) -> str:
    """Return a line that says that training costs less where a method stops early; empty if it never does."""
    if not method.recipe.patience:
        return ""
    return (
        f"{method.label} may stop early: its training operations are an upper bound, those of all epochs, each with "
        "its pass over the validation images"
    )


def empty_backbone(text: str) -> Network:
    """Return the backbone of a specification, without values.

    Raises:
        UserError: the backbone cannot be used.
    """
    return backbone_of(text).network(weights=False).to("meta")


class Simulation:
    """A cell on tensors without data.

    Args:
        pristine: from `empty_backbone`.
        method: the method that learns.
        settings: gives epochs, batch size and augmentation.
        shape: the stream's shape.
    """

    def __init__(self, pristine: Network, method: ConfiguredMethod, settings: Settings, shape: StreamShape):
        self.shape = shape
        self.cell = Cell(
            pristine,
            method.make,
            shape.classes,
            seed=0,
            device=torch.device("meta"),
            scenario=learned_as(settings.scenario, method),
            widths=(shape.classes,) * shape.tasks,
        )
        batch = min(settings.batch_size, shape.images)
        self.training = Training(method.recipe, settings.epochs, batch, settings.augment, dry=True)

    def learn(self, state: State) -> LearnedTask:
        """Learn the next task."""
        task = _task(self.shape, self.cell.pristine.channels, state.learned + 1)
        return learn(self.cell, state, task, self.training)


@contextmanager
def without_values(method: ConfiguredMethod) -> Iterator[None]:
    """Name the hook that fails when a method runs on tensors without data.

    Raises:
        UserError: replaces an error from the method's code.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a plugin's hook can raise anything without values
        origin = origin_of(error, method.cls)
        # If a hook made a tensor on another device, torch may notice it only later.
        if origin is None and not isinstance(error, RuntimeError | TypeError):
            raise
        raise UserError(
            f"method '{method.label}' does not run on tensors without values, as `cost`, `methods NAME` and --equal-* "
            f"run it, because of {origin or 'what a hook made'}: {first_line(error)}; make new tensors on "
            "the device of others, and where "
            "x.is_meta look at no value"
        ) from error


def simulate(pristine: Network, method: ConfiguredMethod, settings: Settings, shape: StreamShape) -> Records:
    """Return the records that a run of one cell would give, without seconds, RAM and accuracy; see Simulation.

    Raises:
        UserError: a hook of the method needs values.
    """
    with without_values(method):
        return _simulate(pristine, method, settings, shape)


def _simulate(pristine: Network, method: ConfiguredMethod, settings: Settings, shape: StreamShape) -> Records:
    simulated = Simulation(pristine, method, settings, shape)
    cell = simulated.cell
    state = start(cell)
    frozen = frozen_bytes(cell)
    records: Records = []
    for number in range(1, shape.tasks + 1):
        # With a joint head, vectors as long as the parameters grow with each task too.
        even = method.grows_evenly and cell.scenario != "class"
        if number > _SIMULATED and even and not _filling(records):
            break
        before = state.count_bytes()
        learned = simulated.learn(state)
        state = learned.state
        network = network_for(cell, state, number, shape.classes)
        records.append(
            {
                "training_flops": learned.operations,
                "bytes_before": before,
                "bytes": state.count_bytes() | {"frozen": frozen},
                "inference_flops_per_image": inference_operations_per_image(network, network.classes, shape.image_size),
                "features_cached": learned.features_cached,
            }
        )
    while len(records) < shape.tasks:
        records.append(_continue(records[-2], records[-1]))
    return records


def _filling(records: Records) -> bool:
    """Whether stored samples grew in the last task, as they do until a memory is full."""
    return records[-1]["bytes"]["replay"] > records[-2]["bytes"]["replay"]


def _continue(before: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    """Return the next record if everything grows as much as between these two."""
    return {
        **last,
        "training_flops": 2 * last["training_flops"] - before["training_flops"],
        "bytes": {part: 2 * size - before["bytes"][part] for part, size in last["bytes"].items()},
    }


def _task(shape: StreamShape, channels: int, number: int) -> Task:
    def data(count: int) -> LabelledImages:
        images = torch.empty(count, channels, shape.image_size, shape.image_size, dtype=torch.uint8, device="meta")
        return LabelledImages(images, torch.empty(count, dtype=torch.int64, device="meta"))

    classes = tuple(str(number) for number in range(shape.classes))
    return Task(f"task-{number}", classes, data(shape.images), data(shape.validation), data(0))
