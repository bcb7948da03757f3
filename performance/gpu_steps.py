"""Training steps on a device: their seconds, kernel launches, and the share of the time that the device computes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from benchmark.backbones import backbone_of, backbones
from benchmark.images.layout import MemoryFormat
from benchmark.learning.learner import learn, start
from benchmark.learning.precision import Precision
from benchmark.learning.training import Training
from benchmark.planning.preparation import image_size_for
from methods.configured import configure
from methods.errors import UserError
from methods.network import Network
from performance import perceptron
from performance.kernels import Kernels, SecondEpoch
from performance.loops import BareNetwork, bare_loop, cell_of, harness_loop, noise_task

_CLASSES = 10


@dataclass(frozen=True)
class Workload:
    """A network, and the images that it learns.

    Attributes:
        name: as the user gave it.
        network: without heads.
        size: height and width of the images.
        channels: of the images.
    """

    name: str
    network: Network
    size: int
    channels: int = 3


@dataclass(frozen=True)
class Amount:
    """How much is measured.

    Attributes:
        steps: per epoch.
        epochs: per repetition; the first is not timed.
        repetitions: of each measurement; the fastest epoch counts.
        batch: images per step.
    """

    steps: int
    epochs: int
    repetitions: int
    batch: int


@dataclass(frozen=True)
class Place:
    """Where and how it is computed."""

    device: torch.device
    memory_format: MemoryFormat = "channels-last"
    precision: Precision = "fp32"


@dataclass(frozen=True)
class Steps:
    """The measurements of a training.

    Attributes:
        seconds: per step.
        kernels: of a step; from a training that the profiler slows down, so their seconds are set against `seconds`.
        operations: as the harness counts them; 0 if the harness does not train.
    """

    seconds: float
    kernels: Kernels
    operations: int = 0

    @property
    def busy(self) -> float:
        """The share of the time in which the device computes."""
        return self.kernels.seconds / self.seconds


def workload(text: str) -> Workload | None:
    """`resnet18@64`, with random weights, or `perceptron`; None if there is no such backbone.

    Raises:
        UserError: the text has another form, or the backbone takes only images of another size.
    """
    if text == "perceptron":
        return Workload(text, perceptron.perceptron(0), perceptron.SIZE, channels=1)
    name, _, size = text.partition("@")
    if not (size.isdecimal() and int(size)):
        raise UserError(f"network '{text}' must be NAME@PIXELS, as resnet18@64, or perceptron")
    if name not in backbones.names():
        return None
    source = backbone_of(name)
    image_size_for(source, int(size))
    return Workload(text, source.network(), int(size))


def harness_steps(method: str, load: Workload, place: Place, amount: Amount) -> Steps:
    """Learn the second of two tasks in the harness, where a method does all of its work.

    Args:
        method: its specification.
    """
    cell = cell_of(method, load.network, _CLASSES, 0, place.device, place.memory_format)
    images = amount.steps * amount.batch
    first, second = (noise_task(number, images, load.size, _CLASSES, load.channels) for number in (1, 2))
    training = Training(configure(method).recipe, amount.epochs, amount.batch, precision=place.precision)
    state = learn(cell, start(cell), first, replace(training, epochs=1)).state
    runs = [harness_loop(cell, state, second, training) for _ in range(amount.repetitions)]
    watch = SecondEpoch(place.device)
    watched = learn(cell, state, second, replace(training, epochs=2), watch.on_epoch)
    seconds = min(min(run) for run, _ in runs)
    return Steps(seconds, watch.per_step(watched.steps // 2), runs[0][1].operations)


def bare_steps(load: Workload, place: Place, amount: Amount) -> Steps:
    """Learn a task in bare PyTorch, as `sgd` does."""
    training = Training(configure("sgd").recipe, amount.epochs, amount.batch, precision=place.precision)
    data = noise_task(1, amount.steps * amount.batch, load.size, _CLASSES, load.channels).train

    def train(own: Training, watch: SecondEpoch | None = None) -> list[float]:
        on_epoch = watch.on_epoch if watch else lambda: None
        return bare_loop(BareNetwork(load.network, _CLASSES), data, own, place.device, place.memory_format, on_epoch)[0]

    seconds = min(min(train(training)) for _ in range(amount.repetitions))
    watch = SecondEpoch(place.device)
    train(replace(training, epochs=2), watch)
    return Steps(seconds, watch.per_step(amount.steps))
