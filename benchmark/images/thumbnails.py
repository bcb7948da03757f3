"""Small pictures of images, for a page."""

from __future__ import annotations

from io import BytesIO

from PIL import Image
from torch import Tensor

# The most pixels of a side.
_SIDE = 48


def thumbnail(image: Tensor) -> bytes:
    """An image as a small JPEG, at most 48 pixels wide and high; a smaller image keeps its size.

    Args:
        image: uint8 [C, S, S]; C is 3, or 1 for a grey image.

    Returns:
        The content of a file; the same image always gives the same bytes.
    """
    pixels = image.permute(1, 2, 0).contiguous().numpy()
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    picture.thumbnail((_SIDE, _SIDE))
    file = BytesIO()
    picture.save(file, "JPEG", optimize=True)
    return file.getvalue()
