"""Whole data sets of torchvision as tasks, downloaded on first use."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torchvision import datasets

from benchmark.images.source import ArrayImages, ImageSource
from benchmark.streams import streams
from benchmark.streams.image_tree import FolderTree, TreeImages
from benchmark.streams.source import RawTask, StreamSource
from benchmark.streams.torchvision_sets import default_root
from methods.errors import UserError
from methods.names import did_you_mean
from methods.options import split_list
from methods.paths import given_path

#: One split as loaded by torchvision, and the folder of all data sets -> its images, with torchvision's labels.
Reader = Callable[[Any, Path], ImageSource]


def read_arrays(dataset: Any, root: Path) -> ArrayImages:
    """The images of a data set that torchvision loads into RAM."""
    images = np.asarray(dataset.data)
    labels = np.asarray(dataset.targets if hasattr(dataset, "targets") else dataset.labels)
    if images.ndim == 3:
        images = np.broadcast_to(images[..., None], (*images.shape, 3))
    elif images.shape[-1] != 3:
        images = images.transpose(0, 2, 3, 1)
    # QMNIST also has the writer of each image, beside its class.
    return ArrayImages(images, (labels if labels.ndim == 1 else labels[:, 0]).tolist())


def read_loaded(dataset: Any, root: Path) -> TreeImages:
    """The images of a data set whose loader is set to give paths, so that no image is decoded to list them."""
    return _files((dataset[index] for index in range(len(dataset))), root)


def _read_gtsrb(dataset: Any, root: Path) -> TreeImages:
    return _files(dataset._samples, root)


def _read_pets(dataset: Any, root: Path) -> TreeImages:
    return _files(zip(dataset._images, dataset._labels, strict=True), root)


def _read_caltech101(dataset: Any, root: Path) -> TreeImages:
    return _files(_numbered(dataset, "101_ObjectCategories", "image_{number:04}.jpg"), root)


def _read_caltech256(dataset: Any, root: Path) -> TreeImages:
    return _files(_numbered(dataset, "256_ObjectCategories", "{place:03}_{number:04}.jpg"), root)


def _read_pcam(dataset: Any, root: Path) -> HDF5Images:
    files = dataset._FILES[dataset._split]
    with dataset.h5py.File(dataset._base_folder / files["targets"][0]) as content:
        labels = content["y"][:, 0, 0, 0].tolist()
    return HDF5Images(dataset, dataset._base_folder / files["images"][0], labels)


class HDF5Images(ImageSource):
    """Images that torchvision reads from a file one by one.

    Args:
        dataset: a data set of torchvision; its items start with an image.
        file: the file with the images.
        labels: each image's label.
    """

    def __init__(self, dataset: Any, file: Path, labels: list[int]):
        self.dataset = dataset
        self.file = file
        self.labels = labels

    def read(self, index: int) -> Image.Image:
        return self.dataset[index][0]

    def identity(self, indices: Sequence[int]) -> str:
        status = self.file.stat()
        about = f"{self.file.resolve()} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {list(indices)}"
        return hashlib.sha256(about.encode()).hexdigest()


def _numbered(dataset: Any, folder: str, name: str) -> Iterable[tuple[Path, int]]:
    for label, number in zip(dataset.y, dataset.index, strict=True):
        file = name.format(place=label + 1, number=number)
        yield Path(dataset.root, folder, dataset.categories[label], file), label


def _files(items: Iterable[tuple[str | Path, int]], root: Path) -> TreeImages:
    paths, labels = [], []
    for path, label in items:
        paths.append(Path(path).relative_to(root).as_posix())
        labels.append(int(label))
    return TreeImages(FolderTree(root, paths), paths, labels)


@dataclass(frozen=True)
class ClassificationSet:
    """A data set of torchvision.

    Attributes:
        dataset: its class in torchvision.datasets.
        read: the function that reads its images.
        train, test: arguments of the constructor for the split; None if there is no test split.
    """

    dataset: str
    read: Reader
    train: Mapping[str, Any] = field(default_factory=dict)
    test: Mapping[str, Any] | None = None


def _flagged(dataset: str, **others: Any) -> ClassificationSet:
    return ClassificationSet(dataset, read_arrays, {"train": True, **others}, {"train": False, **others})


def _split(dataset: str, read: Reader, train: str = "train", test: str = "test", **others: Any) -> ClassificationSet:
    return ClassificationSet(dataset, read, {"split": train, **others}, {"split": test, **others})


#: The data sets that can be downloaded and whose images have one of several classes, by their names in small letters. A
#: validation split is used only in place of a test split with secret labels.
SETS = {
    one.dataset.lower(): one
    for one in (
        _flagged("MNIST"),
        _flagged("FashionMNIST"),
        _flagged("KMNIST"),
        _flagged("EMNIST", split="balanced"),
        _flagged("USPS"),
        ClassificationSet("SEMEION", read_arrays),
        _flagged("CIFAR10"),
        _flagged("CIFAR100"),
        _split("SVHN", read_arrays),
        _split("STL10", read_arrays),
        ClassificationSet("Caltech101", _read_caltech101),
        ClassificationSet("Caltech256", _read_caltech256),
        _split("DTD", read_loaded),
        ClassificationSet("EuroSAT", read_loaded),
        _split("FGVCAircraft", read_loaded, train="trainval"),
        _split("Flowers102", read_loaded),
        _split("Food101", read_loaded),
        _split("GTSRB", _read_gtsrb),
        _split("Imagenette", read_loaded, test="val", size="320px"),
        _split("OxfordIIITPet", _read_pets, train="trainval"),
        _split("RenderedSST2", read_loaded),
        ClassificationSet("Omniglot", read_loaded, {"background": True}),
        _flagged("QMNIST"),
        _split("PCAM", _read_pcam),
        _split("CLEVRClassification", read_loaded, test="val"),
        _split("Country211", read_loaded),
        ClassificationSet("SUN397", read_loaded),
        _split("Places365", read_loaded, train="train-standard", test="val", small=True),
        ClassificationSet("INaturalist", read_loaded, {"version": "2021_train_mini"}, {"version": "2021_valid"}),
    )
}

# The sets not in `open`: Omniglot has 964 classes, QMNIST has MNIST's images and PCAM needs h5py; the others are large.
_BESIDE = ("omniglot", "qmnist", "pcam", "clevrclassification", "country211", "sun397", "places365", "inaturalist")
#: The sets of `open`: about 15 GB to download.
OPEN = tuple(name for name in SETS if name not in _BESIDE)


@streams.register("torchvision")
class TorchvisionStream(StreamSource):
    """torchvision:NAME,NAME,... - whole data sets of torchvision, a task each (downloaded once); or torchvision:open

    Args:
        sets: the data sets' classes in torchvision, in small letters (dtd,svhn); `open` means those in OPEN.
        root: the folder of the files, also for downloads; default_root() if None.
    """

    default_image_size = 64

    def __init__(self, sets: str, root: str | None = None):
        self.sets = sets
        self.root = root
        self._names = [name for item in split_list(sets) for name in (OPEN if item == "open" else (item,))]
        for name in self._names:
            if name not in SETS:
                hint = did_you_mean(name, SETS)
                raise ValueError(f"there is no data set '{name}': {hint}known are {', '.join(SETS)}, and open")
            if self._names.count(name) > 1:
                raise ValueError(f"data set '{name}' is named more than once; name it once")

    def raw_tasks(self, limit: int | None) -> list[RawTask]:
        root = (default_root() if self.root is None else given_path("--stream", self.root, home=True)).absolute()
        return [_read_task(name, SETS[name], root) for name in self._names[:limit]]


def _read_task(name: str, one: ClassificationSet, root: Path) -> RawTask:
    loaded = [_load(one, arguments, root) for arguments in (one.train, one.test) if arguments is not None]
    sources = [one.read(dataset, root) for dataset in loaded]
    labels = sorted({label for source in sources for label in source.labels})
    for source in sources:
        source.labels = np.searchsorted(labels, source.labels).tolist()
    names = getattr(loaded[0], "classes", None) or getattr(loaded[0], "categories", None)
    classes = tuple(_text(names[label]) if names else str(label) for label in labels)
    return RawTask(name, classes, sources[0], sources[1] if one.test is not None else None)


def _load(one: ClassificationSet, arguments: Mapping[str, Any], root: Path) -> Any:
    loader = {"loader": str} if one.read is read_loaded else {}
    try:
        return getattr(datasets, one.dataset)(root, download=True, **arguments, **loader)
    except Exception as error:  # a download and many formats: for any error, the user needs the data set's name
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"the files of {one.dataset} could not be fetched or read ({reason}); connect to the "
            f"network, or put what its authors publish where torchvision looks for it in {root}"
        ) from error


def _text(name: str | tuple[str, ...]) -> str:
    """Imagenette has several names for each of its classes."""
    return name if isinstance(name, str) else ", ".join(name)
