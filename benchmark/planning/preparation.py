"""Checks and loads everything before training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from benchmark.backbones import backbone_of
from benchmark.backbones.base import Backbone
from benchmark.config import Settings
from benchmark.images.decode import Reading
from benchmark.learning.compilation import check_compiler
from benchmark.learning.precision import check_precision, precision_warnings
from benchmark.machine.asking import ask
from benchmark.planning.budgets import Budget, check_budgets, fair_budgets, with_budgets
from benchmark.planning.scenarios import check_classes, check_scenario, rules_for
from benchmark.planning.usable import usable
from benchmark.streams.base import Stream
from benchmark.streams.build import build_stream
from benchmark.workers import warm_up
from methods.configured import ConfiguredMethod, configure
from methods.errors import UserError
from methods.network import Network
from methods.options import option_types


@dataclass(frozen=True)
class Prepared:
    """A run's settings, and the objects made from them.

    Attributes:
        settings: with the rules of task inference that the run needs.
        methods: the methods, with the memory sizes of their budgets.
        told: a line about each task of the stream, if it was built here; see build_stream.
        left_out: the labels of methods that a group of the settings stands for, and that cannot be used on the
            backbone; they are neither among `methods` nor in `settings`.
        device: where this process computes.
        budgets: budgets by label; empty without --equal-memory and --equal-compute.
    """

    settings: Settings
    methods: tuple[ConfiguredMethod, ...]
    stream: Stream
    backbone: Network
    device: torch.device
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    told: tuple[str, ...] = ()

    def epochs(self, label: str) -> int:
        """Return how often a method passes over each task's training images."""
        if label in self.budgets:
            return self.budgets[label].epochs
        method = next((method for method in self.methods if method.label == label), None)
        # A run that may not be resumed like this, as it turns out later, may have other methods.
        return method.passes(self.settings.epochs) if method else self.settings.epochs

    def epochs_in_all(self, cells: Sequence[Mapping[str, Any]]) -> int:
        """Return the sum of the epochs of all tasks in all cells; a task without epochs counts as one.

        Args:
            cells: entries of the manifest.
        """
        return sum(self.epochs(cell["method"]) for cell in cells) * len(self.stream)


def prepare_run(
    settings: Settings,
    note: Callable[[str], None],
    tuning: bool = False,
    budgets: Mapping[str, Budget] | None = None,
    stream: Stream | None = None,
    warn: Callable[[str], None] | None = None,
    elsewhere: bool = False,
    in_worker: bool = False,
) -> Prepared:
    """Load the stream and the backbone, and check the methods' options.

    Args:
        note: called with one line of text before anything that takes time.
        tuning: whether the run chooses methods' options; see build_stream.
        budgets: the budgets, if known; if None, they are found here.
        stream: the stream, if built; if None, it is built here.
        warn: called with one line of text that the user must read; `note` if None.
        elsewhere: whether only other machines, the nodes of a cluster, learn. They have devices of their own, and this
            process, which only prepares their work, computes on the CPU.
        in_worker: whether cells are learned in this process. If not, this process never touches a GPU.

    Raises:
        UserError: a setting cannot be used.
    """
    asked, configured = settings, tuple(configure(spec, **settings.recipe) for spec in settings.methods)
    settings = _checked(asked, configured)
    device = torch.device("cpu") if elsewhere else choose_device(settings.device)
    if device.type == "cuda" and not (in_worker or tuning):
        # On a GPU, one job has a worker too. The workers' server imports what they need in the meantime.
        warm_up()
    _check_device(settings, device, note, warn or note, in_worker, elsewhere)
    source = backbone_of(settings.backbone)
    note(f"loading backbone {settings.backbone}")
    backbone = source.network(warn=warn or note)
    if not in_worker:
        configured = usable(asked, configured, backbone, warn or note)
        settings = _checked(replace(asked, methods=tuple(method.spec for method in configured)), configured)
    told: list[str] = []
    if stream is None:
        stream = build_stream(
            settings.stream,
            tasks=settings.tasks,
            image_size=image_size_for(source, settings.image_size),
            channels=backbone.channels,
            train_images=settings.train_images,
            test_images=settings.test_images,
            validation=settings.validation,
            tuning=tuning,
            progress=note,
            warn=warn,
            reading=Reading(settings.resize, settings.grey_range),
            tell=told.append,
        )
    check_classes(settings.scenario, stream)
    _check_validation(configured, stream, settings.validation)
    if budgets is None:
        if settings.equal_memory or settings.equal_compute:
            note("weighing the methods against each other")
        budgets = fair_budgets(settings, configured, stream, backbone)
    left_out = tuple(spec for spec in asked.methods if spec not in settings.methods)
    learning = with_budgets(configured, budgets)
    prepared = Prepared(settings, learning, stream, backbone, device, budgets, left_out, tuple(told))
    for method in configured:
        _check_warm_up(method, prepared.epochs(method.label))
    return prepared


def _checked(settings: Settings, configured: Sequence[ConfiguredMethod]) -> Settings:
    """Check that methods suit the settings, and return these with the rules of task inference that the run needs.

    Raises:
        UserError: they do not.
    """
    check_scenario(settings.scenario, configured)
    settings = replace(settings, infer=rules_for(settings.scenario, configured, settings.infer))
    check_budgets(settings, configured)
    if not settings.equal_compute:
        for method in configured:
            _check_warm_up(method, settings.epochs)
    return settings


def _check_validation(methods: Sequence[ConfiguredMethod], stream: Stream, percent: int) -> None:
    """Refuse a recipe that looks at validation images where a task has none."""
    blind = next((task.name for task in stream.tasks if not len(task.validation)), None)
    method = next((method for method in methods if method.recipe.validates), None)
    if method is not None and blind is not None:
        raise UserError(
            f"--validation {percent}: '{method.label}' stops early or keeps the best epoch by validation images, and "
            f"task '{blind}' has none; hold some out, for example --validation 10, or leave patience and keep out"
        )


def _check_warm_up(method: ConfiguredMethod, epochs: int) -> None:
    """Refuse a warm-up after which no epoch is left."""
    warming = method.recipe.warmup_epochs
    if method.cls.learns_in_steps and warming >= epochs:
        raise UserError(
            f"'{method.label}': its learning rate rises for {warming} epochs (warmup_epochs), and it trains for "
            f"{epochs} in all; give it fewer, or more --epochs"
        )


def _check_device(
    settings: Settings,
    device: torch.device,
    note: Callable[[str], None],
    warn: Callable[[str], None],
    in_worker: bool,
    elsewhere: bool,
) -> None:
    """Check that the device can do what the settings ask of it; see prepare_run."""
    if settings.precision != "fp32" and not elsewhere:
        check_precision(settings.precision, device)
        for text in precision_warnings(settings.precision, device):
            warn(text)
    if settings.compile:
        note("trying the compiler")
        if device.type == "cuda" and not in_worker:
            ask(check_compiler, device)
        else:
            check_compiler(device)


def image_size_for(backbone: Backbone, asked: int | None) -> int | None:
    """Return the height and width of the images, in pixels; None if the stream may choose them.

    Args:
        backbone: the run's backbone.
        asked: what --image-size says, if it was given.

    Raises:
        UserError: the backbone takes only another size.
    """
    only = backbone.image_size
    if only and asked not in (None, only):
        sized = "image_size" in option_types(type(backbone))
        other = f"write {backbone.label}:image_size={asked}" if sized else "give a backbone for that size"
        raise UserError(
            f"--image-size {asked}: backbone {backbone.label} takes only images of {only}x{only}; leave the option "
            f"out, give --image-size {only} if a preset or a file says {asked}, or {other}"
        )
    return only or asked


def choose_device(name: str) -> torch.device:
    """Return the device that --device means here. "auto" does not mean "mps", which was never tried on such a machine.

    Raises:
        UserError: there is no GPU, but one was asked for.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no GPU here; use --device cpu, or auto")
    if name == "mps" and not torch.backends.mps.is_available():
        raise UserError("--device mps: torch sees no GPU of Apple's (Metal) here; use --device cpu, or auto")
    return torch.device(name)
