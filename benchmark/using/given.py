"""The images that a user gives: files, folders and zips, or images that are in RAM already."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from benchmark.images.source import ImageSource
from benchmark.streams.image_tree import FolderTree, ImageTree, TreeImages, ZipTree
from benchmark.streams.left_out import is_unread, why_unread
from methods.errors import UserError
from methods.names import printable
from methods.paths import given_path

#: An image in RAM: uint8 [H, W, 3] or [H, W] as an array, uint8 [C, H, W] as a tensor.
Picture: TypeAlias = Image.Image | NDArray[np.uint8] | Tensor
#: One path or several, or images: several, or an array [N, H, W, 3], or a tensor [N, C, H, W].
Given: TypeAlias = str | PathLike[str] | Picture | Iterable[str | PathLike[str] | Picture]


class Together(ImageSource):
    """The images of several sources, one source after the other.

    Attributes:
        left_out: the files without an image's extension that folders and zips have beside the images.
    """

    def __init__(self, sources: Sequence[ImageSource], left_out: Sequence[str] = ()):
        self._sources = sources
        self._ends = list(accumulate(len(source.labels) for source in sources))
        self.labels = [0] * self._ends[-1]
        self.left_out = tuple(left_out)

    def read(self, index: int) -> Image.Image:
        source, own = self._find(index)
        return source.read(own)

    def describe(self, index: int) -> str:
        source, own = self._find(index)
        return source.describe(own)

    def _find(self, index: int) -> tuple[ImageSource, int]:
        number = bisect_right(self._ends, index)
        return self._sources[number], index - (self._ends[number - 1] if number else 0)


class _AllImages(TreeImages):
    """All images of a folder or zip. Reading one of a format that is not read says so.

    Attributes:
        unread: the paths of those.
    """

    def __init__(self, tree: ImageTree):
        self.unread = set(filter(is_unread, tree.others))
        paths = sorted([*tree.images, *self.unread])
        super().__init__(tree, paths, [0] * len(paths))

    def read(self, index: int) -> Image.Image:
        if self.paths[index] in self.unread:
            raise UserError(f"{self.describe(index)} {why_unread(self.paths[index])}")
        return super().read(index)


class Pictures(ImageSource):
    """Images in RAM."""

    def __init__(self, images: Sequence[Image.Image]):
        self._images = images
        self.labels = [0] * len(images)

    def read(self, index: int) -> Image.Image:
        image = self._images[index]
        try:
            # Pillow reads an open file only now.
            image.load()
        except Exception as error:
            raise UserError(f"image {index} cannot be read ({error}); replace or remove it") from error
        return image


def images_of(given: Given) -> ImageSource:
    """The images that the user gives, in that order; those of a folder or zip are in the order of their paths.

    Raises:
        UserError: there are none, a path does not exist, or a zip cannot be read.
    """
    items = [given] if isinstance(given, (str, PathLike, Image.Image)) else _rows(given)
    paths = [item for item in items if isinstance(item, (str, PathLike))]
    if paths and len(paths) == len(items):
        return files_of(paths)
    if paths or not items:
        raise UserError("images: give paths of files, folders or zips, or images, and not both or none")
    return Pictures([_picture(item) for item in items])


def files_of(paths: Sequence[str | PathLike[str]]) -> Together:
    """The image files at these paths; see `images_of`."""
    sources: list[ImageSource] = []
    left_out: list[str] = []
    alone = FolderTree(Path(), ())
    for text in paths:
        path = given_path("images", text)
        if not path.exists() and not path.is_symlink():
            raise UserError(f"there is no file or folder {path}; give image files, folders of them, or zips")
        if not (path.is_dir() or path.suffix.lower() == ".zip"):
            sources.append(TreeImages(alone, [str(path)], [0]))
            continue
        tree: ImageTree = FolderTree(path) if path.is_dir() else ZipTree(path)
        images = _AllImages(tree)
        if not images.paths:
            raise UserError(f"{path} has no image files; give image files, folders of them, or zips")
        sources.append(images)
        left_out += [printable(str(path / other)) for other in tree.others if other not in images.unread]
    return Together(sources, left_out)


def _rows(given: Any) -> list[Any]:
    """The images of an array or tensor of several; or the items of any iterable."""
    if isinstance(given, np.ndarray | Tensor) and given.ndim < 4:
        return [given]
    if not isinstance(given, Iterable):
        raise UserError(f"images: {given!r} is neither a path nor an image; give paths or images, one or several")
    return list(given)


def _picture(image: Any) -> Image.Image:
    """An image in RAM for Pillow.

    Raises:
        UserError: it is none.
    """
    if isinstance(image, Image.Image):
        return image
    pixels = image.permute(1, 2, 0).cpu().numpy() if isinstance(image, Tensor) and image.ndim == 3 else image
    if isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8:
        grey = pixels.ndim == 3 and pixels.shape[2] == 1
        if pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (1, 3)):
            return Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if grey else pixels))
    raise UserError(
        "images: give paths, images of Pillow, arrays uint8 [H, W, 3] or [H, W], or tensors uint8 [C, H, W] with 1 or "
        "3 channels"
    )
