"""Small pictures of images."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.images.thumbnails import thumbnail


def halves(channels: int, size: int) -> torch.Tensor:
    """Red above blue, or white above black; as decoded images lie in RAM, channels last."""
    above, below = {3: ([255, 0, 0], [0, 0, 255]), 1: ([255], [0])}[channels]
    pixels = np.empty((size, size, channels), dtype=np.uint8)
    pixels[: size // 2], pixels[size // 2 :] = above, below
    return torch.from_numpy(pixels).permute(2, 0, 1)


@pytest.mark.parametrize(("size", "expected"), [(224, 48), (64, 48), (48, 48), (28, 28), (1, 1)])
@pytest.mark.parametrize("channels", [3, 1])
def test_it_is_small_and_the_same_picture(channels: int, size: int, expected: int) -> None:
    image = halves(channels, size)
    picture = Image.open(BytesIO(thumbnail(image)))
    assert (picture.format, picture.mode, picture.size) == ("JPEG", {3: "RGB", 1: "L"}[channels], (expected, expected))
    found = np.asarray(picture).reshape(expected, expected, channels).astype(int)
    for row, colour in ((0, image[:, 0, 0]), (-1, image[:, -1, 0])):
        assert np.abs(found[row] - colour.numpy()).max() < 20


def test_bytes_follow_from_the_pixels_alone() -> None:
    image = torch.randint(256, (3, 60, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    channels_last = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    assert thumbnail(channels_last) == thumbnail(image) == thumbnail(image)
