"""Streams in which every task is MNIST, changed in its own way: the same ten classes in other domains."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torchvision import datasets

from benchmark.images.source import ImageSource
from benchmark.streams import streams
from benchmark.streams.selection import generator
from benchmark.streams.source import RawTask, StreamSource
from benchmark.streams.torchvision_sets import load_set


class ChangedImages(ImageSource):
    """Grey images, each changed when it is read.

    Args:
        images: uint8 [N, S, S].
        labels: N labels.
    """

    def __init__(self, images: NDArray[np.uint8], labels: Sequence[int]):
        self.images = images
        self.labels = labels

    #: Stands for the change in `identity`.
    change: str

    def identity(self, indices: Sequence[int]) -> str:
        digest = hashlib.sha256(f"{self.change} {self.images.shape[1:]}\n".encode())
        digest.update(np.ascontiguousarray(self.images[np.asarray(indices)]).data)
        return digest.hexdigest()


class PermutedImages(ChangedImages):
    """Images with their pixels in another order.

    Args:
        order: [S * S], for each pixel, row by row, the pixel that moves there; None to change nothing.
    """

    def __init__(self, images: NDArray[np.uint8], labels: Sequence[int], order: NDArray[np.int64] | None):
        super().__init__(images, labels)
        self.order = order
        self.change = "permuted " + ("" if order is None else hashlib.sha256(order.astype("<i8").data).hexdigest())

    def read(self, index: int) -> Image.Image:
        image = self.images[index]
        return Image.fromarray(image if self.order is None else image.ravel()[self.order].reshape(image.shape))


class RotatedImages(ChangedImages):
    """Images turned counter-clockwise around their centre; what comes in at the corners is black.

    Args:
        degrees: the angle.
    """

    def __init__(self, images: NDArray[np.uint8], labels: Sequence[int], degrees: float):
        super().__init__(images, labels)
        self.degrees = degrees
        self.change = f"rotated {degrees!r}"

    def read(self, index: int) -> Image.Image:
        return Image.fromarray(self.images[index]).rotate(self.degrees, Image.Resampling.BILINEAR)


class MNISTDomains(StreamSource):
    """MNIST once for each task, changed in another way.

    Args:
        tasks: number of tasks.
        root: the folder of the files, also for downloads; torchvision_sets.default_root() if None.
    """

    default_image_size = 28
    #: What comes before the number in a task's name.
    prefix: str

    def __init__(self, tasks: int = 10, root: str | None = None):
        if tasks < 1:
            raise ValueError(f"tasks={tasks} must be at least 1")
        self.tasks = tasks
        self.root = root

    def raw_tasks(self, limit: int | None) -> list[RawTask]:
        splits = [load_set(datasets.MNIST, self.root, train, "MNIST/raw") for train in (True, False)]
        digits = len(str(self.tasks))
        made = []
        for number in range(1, 1 + min(self.tasks, self.tasks if limit is None else limit)):
            train, test = (self.changed(np.asarray(split.data), split.targets.tolist(), number) for split in splits)
            made.append(RawTask(f"{self.prefix}-{number:0{digits}}", tuple(splits[0].classes), train, test))
        return made

    @abstractmethod
    def changed(self, images: NDArray[np.uint8], labels: Sequence[int], number: int) -> ChangedImages:
        """The images of task `number`, from 1."""


@streams.register("permuted-mnist")
class PermutedMNIST(MNISTDomains):
    """MNIST with the pixels of each task in another order, the same for all its images (arXiv 1312.6211).

    The first task is MNIST as it is. A task's order depends on `seed` and its number only.

    Args:
        tasks: number of tasks.
        root: the folder of the files, also for downloads; torchvision_sets.default_root() if None.
        seed: draws the orders.
    """

    prefix = "permuted"

    def __init__(self, tasks: int = 10, root: str | None = None, seed: int = 0):
        super().__init__(tasks, root)
        self.seed = seed

    def changed(self, images: NDArray[np.uint8], labels: Sequence[int], number: int) -> PermutedImages:
        random = generator(f"permuted {number}", f"pixels {self.seed}")
        return PermutedImages(images, labels, random.permutation(images[0].size) if number > 1 else None)


@streams.register("rotated-mnist")
class RotatedMNIST(MNISTDomains):
    """MNIST turned by an angle that grows from task to task (as in arXiv 1706.08840).

    Task t of T is turned by `degrees` (t - 1) / T.

    Args:
        tasks: number of tasks.
        root: the folder of the files, also for downloads; torchvision_sets.default_root() if None.
        degrees: the angle that the tasks divide among themselves.
    """

    prefix = "rotated"

    def __init__(self, tasks: int = 10, root: str | None = None, degrees: float = 180.0):
        super().__init__(tasks, root)
        self.degrees = degrees

    def changed(self, images: NDArray[np.uint8], labels: Sequence[int], number: int) -> RotatedImages:
        return RotatedImages(images, labels, self.degrees * (number - 1) / self.tasks)
