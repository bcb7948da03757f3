"""Small data sets in the formats that streams read."""

from __future__ import annotations

import io
import pickle
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets


def png(value: int, size: int = 8) -> bytes:
    """A one-colour PNG file."""
    file = io.BytesIO()
    Image.new("RGB", (size, size), (value % 256, value // 256, 0)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def write_images() -> Callable[[Path, int], None]:
    """write_images(folder, count): so many PNG files of 8x8 pixels, all different."""

    def write(folder: Path, count: int) -> None:
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"{number:03}.png").write_bytes(png(number))

    return write


@pytest.fixture
def write_task(write_images) -> Callable[..., Path]:
    """write_task(folder, classes, train, test): an ImageFolder tree; without test/ if test is None."""

    def write(folder: Path, classes: Sequence[str] = ("cat", "dog"), train: int = 10, test: int | None = 4) -> Path:
        for name in classes:
            write_images(folder / "train" / name, train)
            if test is not None:
                write_images(folder / "test" / name, test)
        return folder

    return write


@pytest.fixture
def zipped() -> Callable[[Path], Path]:
    """zipped(folder): the folder replaced by a zip of its content."""

    def pack(folder: Path) -> Path:
        archive = shutil.make_archive(str(folder), "zip", folder)
        shutil.rmtree(folder)
        return Path(archive)

    return pack


@pytest.fixture
def write_cifar(monkeypatch) -> Callable[..., None]:
    """write_cifar(cls, root, per_class): files in CIFAR's format; images of class c are filled with 2 c + split."""

    def write(cls: type[datasets.CIFAR10], root: Path, per_class: int) -> None:
        folder = root / cls.base_folder
        folder.mkdir()
        names = [f"class {c}" for c in range(100 if cls is datasets.CIFAR100 else 10)]
        for split, files in enumerate((cls.train_list, cls.test_list)):
            for file, _ in files:
                labels = np.tile(np.arange(len(names)), per_class)
                pixels = np.repeat((2 * labels + split).astype(np.uint8)[:, None], 3 * 32 * 32, axis=1)
                key = "fine_labels" if cls is datasets.CIFAR100 else "labels"
                (folder / file).write_bytes(pickle.dumps({"data": pixels, key: labels.tolist()}))
        (folder / cls.meta["filename"]).write_bytes(pickle.dumps({cls.meta["key"]: names}))
        monkeypatch.setattr(cls, "train_list", [(file, None) for file, _ in cls.train_list])
        monkeypatch.setattr(cls, "test_list", [(file, None) for file, _ in cls.test_list])
        monkeypatch.setattr(cls, "meta", cls.meta | {"md5": None})

    return write
