"""Well-known data sets of torchvision, with their classes divided among the tasks."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from torchvision import datasets

from benchmark.files import user_cache
from benchmark.images.source import ArrayImages
from benchmark.streams import streams
from benchmark.streams.source import RawTask, StreamSource
from methods.errors import UserError
from methods.paths import given_path


def default_root() -> Path:
    """The folder of data sets, unless the user gives another."""
    return user_cache() / "datasets"


class TorchvisionSplit(StreamSource):
    """One data set; each task gets an equal number of its classes, in order.

    Args:
        tasks: number of tasks; it must divide the number of classes and leave each task at least two.
        root: the folder of the files, also for downloads; default_root() if None.
    """

    default_image_size = 32
    dataset: ClassVar[type[datasets.MNIST] | type[datasets.CIFAR10]]
    class_count: ClassVar[int] = 10
    #: The folder below the root in which torchvision looks for downloaded archives.
    archives: ClassVar[str]

    def __init__(self, tasks: int = 5, root: str | None = None):
        possible = [n for n in range(1, self.class_count // 2 + 1) if self.class_count % n == 0]
        if tasks not in possible:
            raise ValueError(
                f"tasks={tasks} does not share out {self.class_count} classes evenly, two or more to a task; "
                f"right are {', '.join(map(str, possible))}"
            )
        self.tasks = tasks
        self.root = root

    def raw_tasks(self, limit: int | None) -> list[RawTask]:
        title = self.dataset.__name__
        train, test = self._load(train=True), self._load(train=False)
        classes = train.classes
        each = self.class_count // self.tasks
        digits = len(str(self.tasks))
        return [
            RawTask(
                f"{title.lower()}-{task + 1:0{digits}}",
                tuple(classes[task * each : (task + 1) * each]),
                _with_labels(train, task * each, each),
                _with_labels(test, task * each, each),
            )
            for task in range(self.tasks if limit is None else min(limit, self.tasks))
        ]

    def _load(self, train: bool) -> datasets.MNIST | datasets.CIFAR10:
        root = default_root() if self.root is None else given_path("--stream", self.root, home=True)
        try:
            return self.dataset(root, train=train, download=True)
        # Failed downloads, file access, and truncated files.
        except (OSError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"the files of {self.dataset.__name__} could not be fetched or read ({reason}); "
                f"connect to the network, or put the archives that its authors publish into {root / self.archives}"
            ) from error


def _with_labels(dataset: datasets.MNIST | datasets.CIFAR10, first: int, count: int) -> ArrayImages:
    """The images whose labels are first .. first+count-1, labelled 0 .. count-1."""
    labels = np.asarray(dataset.targets) - first
    chosen = (labels >= 0) & (labels < count)
    images = np.asarray(dataset.data)[chosen]
    if images.ndim == 3:
        images = np.broadcast_to(images[..., None], (*images.shape, 3))
    return ArrayImages(images, labels[chosen].tolist())


@streams.register("split-cifar10")
class SplitCIFAR10(TorchvisionSplit):
    """CIFAR-10 split into tasks (downloaded once)."""

    dataset = datasets.CIFAR10
    archives = ""


@streams.register("split-cifar100")
class SplitCIFAR100(TorchvisionSplit):
    """CIFAR-100 split into tasks (downloaded once)."""

    dataset = datasets.CIFAR100
    class_count = 100
    archives = ""

    def __init__(self, tasks: int = 20, root: str | None = None):
        super().__init__(tasks, root)


@streams.register("split-mnist")
class SplitMNIST(TorchvisionSplit):
    """MNIST split into tasks (downloaded once)."""

    dataset = datasets.MNIST
    archives = "MNIST/raw"


@streams.register("split-fashion-mnist")
class SplitFashionMNIST(TorchvisionSplit):
    """Fashion-MNIST split into tasks (downloaded once)."""

    dataset = datasets.FashionMNIST
    archives = "FashionMNIST/raw"
