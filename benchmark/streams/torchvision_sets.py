"""Well-known data sets of torchvision, with their classes divided among the tasks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
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
    """One data set, whose classes are divided among the tasks.

    Args:
        tasks: number of tasks. Without `first` and `increment`, all have the same number of classes.
        root: the folder of the files, also for downloads; default_root() if None.
        order: the order of the classes: their own if None; or a random one, NumPy's permutation after
            `numpy.random.seed(order)`, as in PyCIL and PILOT, which use 1993.
        first: classes of the first task; the other tasks share the rest as evenly as possible, earlier ones getting one
            more if need be.
        increment: classes of each task after the first, instead of `tasks`; without `first`, of all tasks.
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
    ):
        if tasks is not None and increment is not None:
            raise ValueError(f"tasks={tasks} and increment={increment} exclude each other; give one of them")
        if order is not None and not 0 <= order < 2**32:
            raise ValueError(f"order={order} must be a whole number from 0 to {2**32 - 1}")
        if increment is None:
            self.sizes = shared_out(self.class_count, self.default_tasks if tasks is None else tasks, first)
        else:
            self.sizes = stepwise(self.class_count, increment, first)
        self.tasks = len(self.sizes)
        self.root = root
        self.order = order

    def raw_tasks(self, limit: int | None) -> list[RawTask]:
        title = self.dataset.__name__
        train, test = (load_set(self.dataset, self.root, part, self.archives) for part in (True, False))
        order = list(range(self.class_count))
        if self.order is not None:
            # NumPy promises never to change RandomState's numbers.
            order = np.random.RandomState(self.order).permutation(self.class_count).tolist()
        ends = list(accumulate(self.sizes, initial=0))
        chosen = [order[first:last] for first, last in pairwise(ends)][:limit]
        digits = len(str(len(self.sizes)))
        return [
            RawTask(
                f"{title.lower()}-{number:0{digits}}",
                tuple(train.classes[label] for label in labels),
                _with_labels(train, labels),
                _with_labels(test, labels),
            )
            for number, labels in enumerate(chosen, 1)
        ]


def shared_out(classes: int, tasks: int, first: int | None) -> list[int]:
    """The class count of each task.

    Args:
        classes: of the data set.
        tasks: number of tasks.
        first: classes of the first task; None if all tasks have the same number.

    Raises:
        ValueError: a task would have fewer than two classes, or without `first` the tasks would differ.
    """
    if first is None:
        possible = [n for n in range(1, classes // 2 + 1) if classes % n == 0]
        if tasks not in possible:
            raise ValueError(
                f"tasks={tasks} does not share out {classes} classes evenly, two or more to a task; "
                f"right are {', '.join(map(str, possible))}"
            )
        return [classes // tasks] * tasks
    _check_first(classes, first)
    most = 1 + (classes - first) // 2
    if not 2 <= tasks <= most:
        raise ValueError(f"tasks={tasks} with first={first} must be from 2 to {most}: each task needs two classes")
    each, more = divmod(classes - first, tasks - 1)
    return [first, *(each + (number < more) for number in range(tasks - 1))]


def stepwise(classes: int, increment: int, first: int | None) -> list[int]:
    """As `shared_out`, if the size of the later tasks is given instead of their number.

    Raises:
        ValueError: the classes cannot be divided so.
    """
    if first is not None:
        _check_first(classes, first)
    rest = classes - (first or 0)
    possible = [n for n in range(2, rest + 1) if rest % n == 0]
    if increment not in possible:
        raise ValueError(
            f"increment={increment} does not share out {rest} classes evenly, two or more to a task; "
            f"right are {', '.join(map(str, possible))}"
        )
    return [*([first] if first is not None else []), *[increment] * (rest // increment)]


def _check_first(classes: int, first: int) -> None:
    if not 2 <= first <= classes - 2:
        raise ValueError(f"first={first} must be from 2 to {classes - 2}: each task needs two of {classes} classes")


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
