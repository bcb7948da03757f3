"""From an image file to pixels."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL import __version__ as _pillow

from benchmark.images.source import ImageSource
from methods.errors import UserError

Pixels = NDArray[np.uint8]

#: Stands for all that the pixels depend on, except the file: raise the number when `decode` changes.
DECODER = f"2, Pillow {_pillow}"

#: Pillow's names of the formats that are read. Pillow knows others, and starts a program for one of them (PostScript).
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")

#: A JPEG may have many scans, and each goes over the whole picture. This is the largest number of scans ...
MOST_SCANS = 100
#: ... and all together may go over at most this many times the pixels that one picture may have.
MOST_FULL_SCANS = 20

# A marker with a length after it: not a stuffed byte, a restart, a fill byte or a byte without meaning.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = b"\xff\xd8", b"\xff\xd9", b"\xff\xda"


def decode(source: ImageSource, indices: Sequence[int], size: int, channels: int = 3) -> Pixels:
    """The chosen images as squares, in the order of `indices`; the same bytes on every call.

    Images of another size or shape are resized to size x size with bilinear filtering and antialiasing.

    Args:
        source: the source of the images.
        indices: the chosen images, N positions in `source`.
        size: height and width of the result, in pixels.
        channels: 3 for colours, 1 for grey. A grey pixel is the luma of its colour (ITU-R 601).

    Returns:
        uint8 [N, size, size, channels].

    Raises:
        UserError: one is not an image; the message names the file.
    """
    pixels = np.empty((len(indices), size, size, channels), dtype=np.uint8)
    for row, index in zip(pixels, indices, strict=True):
        row[:] = square(source.read(index), size, channels)
    return pixels


def decode_readable(
    source: ImageSource, indices: Sequence[int], size: int, channels: int = 3
) -> tuple[Pixels, dict[int, str]]:
    """Like `decode`, but images that cannot be read stop nothing: their pixels are zero.

    Returns:
        The pixels, and place in `indices` -> what is wrong with that image.
    """
    pixels = np.zeros((len(indices), size, size, channels), dtype=np.uint8)
    causes = {}
    for place, index in enumerate(indices):
        try:
            pixels[place] = square(source.read(index), size, channels)
        except UserError as error:
            causes[place] = str(error)
    return pixels, causes


def square(image: Image.Image, size: int, channels: int) -> Pixels:
    """An image as a square of `channels` values for each pixel: uint8 [size, size, channels]; see `decode`."""
    image = to_rgb(image)
    if channels == 1:
        image = image.convert("L")
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(size, size, channels)


def read_image(data: bytes, name: str) -> Image.Image:
    """The image in a file's bytes, fully loaded, so that every fault of the file is found here.

    An animation or a multi-page file gives its first picture. Orientation tags are ignored, as in torchvision's
    ImageFolder.

    Args:
        data: the file's content.
        name: the file's name in messages.

    Raises:
        UserError: `data` is not an image of one of FORMATS, is truncated, would unpack to more pixels than Pillow
            considers safe, or is a JPEG with so many scans that it would take minutes.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_effort(image, data)
        image.load()
    except UnidentifiedImageError:
        raise UserError(
            f"{name} is not an image of a format that is read ({', '.join(FORMATS)}); replace or remove it"
        ) from None
    # Decoders raise nearly anything for a broken file: OSError, SyntaxError, ValueError, struct.error, IndexError.
    except Exception as error:
        raise UserError(f"{name} cannot be read as an image ({error}); replace or remove it") from error
    return image


def _check_effort(image: Image.Image, data: bytes) -> None:
    """Refuse, before anything is unpacked, an image that would fill the RAM or take minutes.

    Raises:
        DecompressionBombError: the image would.
    """
    pixels = image.width * image.height
    # Pillow only warns up to twice this limit.
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and pixels > limit:
        raise Image.DecompressionBombError(f"{image.width}x{image.height} pixels are more than {limit}")
    scans = _scans(data)
    if scans > MOST_SCANS:
        raise Image.DecompressionBombError(f"its {scans} scans are more than {MOST_SCANS}")
    if limit is not None and scans * pixels > MOST_FULL_SCANS * limit:
        raise Image.DecompressionBombError(
            f"{scans} scans over {image.width}x{image.height} pixels are more than {MOST_FULL_SCANS} over {limit}"
        )


def _scans(data: bytes) -> int:
    """How often a JPEG goes over its picture, found without decoding it; 0 for other formats.

    The content of its tags (such as a small preview) and bytes after its end (such as a phone's film) are skipped.
    """
    if not data.startswith(_START_OF_IMAGE):
        return 0
    count, position = 0, len(_START_OF_IMAGE)
    while (found := _MARKER.search(data, position)) and found[0] != _END_OF_IMAGE:
        count += found[0] == _START_OF_SCAN
        # The length, in two bytes, includes these two bytes.
        position = found.end() + max(2, int.from_bytes(data[found.end() : found.end() + 2], "big"))
    return count


def to_rgb(image: Image.Image) -> Image.Image:
    """The image in mode RGB: 16-bit greys scaled to 8 bits, transparent parts laid on white."""
    if image.mode.startswith("I"):
        # Pillow would clip these at 255. Mode "I" is 32 bits wide but holds the 16 bits of PNG and PGM files.
        values = np.asarray(image).astype(np.int64).clip(0, 65535)
        image = Image.fromarray((values // 256).astype(np.uint8))
    elif image.has_transparency_data:
        # The colours of transparent pixels are arbitrary.
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, layer)
    return image if image.mode == "RGB" else image.convert("RGB")
