"""Avalanche's classic benchmarks as streams."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import EpsImagePlugin, Image
from torchvision.transforms.functional import to_pil_image

from benchmark.images.source import ImageSource
from benchmark.streams import streams
from benchmark.streams.source import RawTask, StreamSource
from methods.errors import UserError, first_line
from methods.names import did_you_mean
from methods.paths import given_path

# Avalanche opens all formats that Pillow knows. For PostScript, which no data set uses, Pillow starts a program.
EpsImagePlugin.gs_binary = False


class ExperienceImages(ImageSource):
    """The images of one experience.

    They are decoded on every start: an Avalanche dataset does not say where an image comes from, so a change cannot be
    found cheaply.

    Args:
        dataset: an Avalanche dataset whose items start with an image, as a PIL image or float [C, H, W] in 0 .. 1.
        classes: its original labels; their positions are the new labels.
        name: its name in messages.
    """

    def __init__(self, dataset: Any, classes: list[int], name: str):
        self.dataset = dataset
        self.name = name
        self.labels = np.searchsorted(classes, list(dataset.targets)).tolist()

    def read(self, index: int) -> Image.Image:
        try:
            image = self.dataset[index][0]
        except Exception as error:  # see benchmark.images.decode.read_image
            reason = first_line(error)
            raise UserError(f"image {index} of {self.name} cannot be read ({reason}); replace its file") from error
        if isinstance(image, torch.Tensor):
            return to_pil_image((image * 255).round().clamp(0, 255).to(torch.uint8))
        return image


@streams.register("avalanche")
class AvalancheStream(StreamSource):
    """avalanche:NAME - a classic benchmark of Avalanche.

    Each experience becomes a task; its labels are renumbered in their original order. Random class orders, permutations
    and rotations are drawn with seed 0.

    Args:
        benchmark: a function of avalanche.benchmarks.classic that gives task labels, for example SplitCIFAR100.
        experiences: the number of experiences; the benchmark's default if None.
        root: the folder of the data set's files, also for downloads; Avalanche's if None.
    """

    default_image_size = 32

    def __init__(self, benchmark: str, experiences: int | None = None, root: str | None = None):
        if experiences is not None and experiences < 1:
            raise ValueError(f"experiences={experiences} is too few; a stream has at least 1")
        self.benchmark = benchmark
        self.experiences = experiences
        self.root = root

    def raw_tasks(self, limit: int | None) -> list[RawTask]:
        function = self._function()
        arguments = self._arguments(function)
        try:
            # Some of these functions seed torch's global generator.
            with torch.random.fork_rng(devices=[]):
                made = function(**arguments)
        # Numbers that do not divide the classes evenly, failed downloads, missing files, missing packages.
        except (ValueError, AssertionError, OSError, RuntimeError, ImportError) as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"Avalanche cannot make {self.benchmark} ({reason}); it needs a number of experiences that suits its "
                "classes, and its files in root or within reach of the network"
            ) from error
        digits = len(str(len(made.train_stream)))
        experiences = list(zip(made.train_stream, made.test_stream, strict=True))[:limit]
        return [
            _task(f"{self.benchmark.lower()}-{number:0{digits}}", train.dataset, test.dataset)
            for number, (train, test) in enumerate(experiences, 1)
        ]

    def _function(self) -> Callable[..., Any]:
        from avalanche.benchmarks import classic

        # The other functions give all experiences task label 0: they are one task in several domains, not several
        # tasks.
        known = {
            name: function
            for name, function in inspect.getmembers(classic, inspect.isfunction)
            if "return_task_id" in inspect.signature(function).parameters
        }
        if self.benchmark not in known:
            hint = did_you_mean(self.benchmark, known)
            raise UserError(
                f"avalanche: '{self.benchmark}' is not a classic benchmark that gives task labels: {hint}"
                f"known are {', '.join(known)}"
            )
        return known[self.benchmark]

    def _arguments(self, function: Callable[..., Any]) -> dict[str, Any]:
        """The function's arguments: those given, and for the others the values that do not change the images."""
        parameters = inspect.signature(function).parameters
        arguments: dict[str, Any] = {"return_task_id": True, "seed": 0, "train_transform": None, "eval_transform": None}
        for option, parameter, value in (
            ("experiences", "n_experiences", self.experiences),
            ("root", "dataset_root", self.root and str(given_path("--stream", self.root, home=True))),
        ):
            if value is not None:
                if parameter not in parameters:
                    raise UserError(f"avalanche:{self.benchmark} takes no {option}; leave {option}={value} out")
                arguments[parameter] = value
            elif parameter in parameters and parameters[parameter].default is inspect.Parameter.empty:
                raise UserError(f"avalanche:{self.benchmark} needs {option}: add :{option}=...")
        return arguments


def _task(name: str, train: Any, test: Any) -> RawTask:
    labels = sorted({*train.targets, *test.targets})
    classes = tuple(str(label) for label in labels)
    return RawTask(name, classes, ExperienceImages(train, labels, name), ExperienceImages(test, labels, name))
