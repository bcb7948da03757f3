"""Well-known data sets of torchvision, with their classes divided among the tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from torchvision import datasets

from benchmark.files import user_cache
from benchmark.images.source import ArrayImages
from benchmark.streams import streams
from benchmark.streams.shares import Shares
from benchmark.streams.source import RawTask, StreamSource
from methods.errors import UserError
from methods.paths import given_path


def default_root() -> Path:
    """The folder of data sets, unless the user gives another."""
    return user_cache() / "datasets"


class TorchvisionSplit(StreamSource):
    """One data set, whose classes are divided among the tasks.

    Args:
        tasks: number of tasks. Without `first` and `increment`, all have the same number of classes.
        root: the folder of the files, also for downloads; default_root() if None.
        order: the order of the classes: their own if None; or a random one, NumPy's permutation after
            `numpy.random.seed(order)`, as in PyCIL and PILOT, which use 1993.
        first: classes of the first task; the other tasks share the rest as evenly as possible, earlier ones getting one
            more if need be.
        increment: classes of each task after the first, instead of `tasks`; without `first`, of all tasks.
        names: the classes' "own" names; or their "place" in the task, so that all tasks have the same classes, as the
            scenario `domain` needs.
    """

    default_image_size = 32
    dataset: ClassVar[type[datasets.MNIST] | type[datasets.CIFAR10]]
    class_count: ClassVar[int] = 10
    #: The folder below the root in which torchvision looks for downloaded archives.
    archives: ClassVar[str]

    #: The tasks, if neither their number nor their size is given.
    default_tasks: ClassVar[int] = 5

    def __init__(
        self,
        tasks: int | None = None,
        root: str | None = None,
        order: int | None = None,
        first: int | None = None,
        increment: int | None = None,
        names: Literal["own", "place"] = "own",
    ):
        self.shares = Shares(
            self.default_tasks if (tasks, increment) == (None, None) else tasks, order, first, increment
        )
        self.tasks = len(self.shares.sizes(self.class_count))
        self.root = root
        self.order = order
        self.names = names

    def raw_tasks(self, limit: int | None) -> list[RawTask]:
        title = self.dataset.__name__
        train, test = (load_set(self.dataset, self.root, part, self.archives) for part in (True, False))
        chosen = self.shares.groups(self.class_count)[:limit]
        digits = len(str(self.tasks))
        return [
            RawTask(
                f"{title.lower()}-{number:0{digits}}",
                tuple(
                    train.classes[label] if self.names == "own" else f"place {n}" for n, label in enumerate(labels, 1)
                ),
                _with_labels(train, labels),
                _with_labels(test, labels),
            )
            for number, labels in enumerate(chosen, 1)
        ]


def load_set(
    dataset: type[datasets.MNIST] | type[datasets.CIFAR10], root: str | None, train: bool, archives: str
) -> datasets.MNIST | datasets.CIFAR10:
    """A split of a data set, downloaded if need be.

    Args:
        root: the folder of the files, as given; default_root() if None.
        train: the training split, or the test split.
        archives: the folder below the root in which torchvision looks for downloaded archives.

    Raises:
        UserError: its files cannot be had.
    """
    folder = default_root() if root is None else given_path("--stream", root, home=True)
    try:
        return dataset(folder, train=train, download=True)
    # Failed downloads, file access, and truncated files.
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"the files of {dataset.__name__} could not be fetched or read ({reason}); "
            f"connect to the network, or put the archives that its authors publish into {folder / archives}"
        ) from error


def _with_labels(dataset: datasets.MNIST | datasets.CIFAR10, wanted: Sequence[int]) -> ArrayImages:
    """The images with these labels, labelled by the positions in `wanted`."""
    position = np.full(1 + max(*dataset.targets, *wanted), -1)
    position[list(wanted)] = np.arange(len(wanted))
    labels = position[np.asarray(dataset.targets)]
    chosen = labels >= 0
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
    default_tasks = 20
    archives = ""


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
