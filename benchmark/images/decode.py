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

#: Changes with everything that the pixels below depend on, beside the file: raise the number when `decode` changes.
DECODER = f"2, Pillow {_pillow}"

#: The formats that are read, as Pillow calls them. It knows others, and starts a program for one of them (PostScript).
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")

#: A JPEG may be made of many scans, each of which goes over the whole picture: at most so many of them ...
MOST_SCANS = 100
#: ... and all of them together over at most so many times the pixels that one picture may have.
MOST_FULL_SCANS = 20

# A marker that a length follows: neither a stuffed byte, nor a restart, nor a fill byte, nor one that means nothing.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = b"\xff\xd8", b"\xff\xd9", b"\xff\xda"


def decode(source: ImageSource, indices: Sequence[int], size: int) -> Pixels:
    """The chosen images as RGB squares, in the order of `indices`; the same bytes on every call.

    Images of another size are squeezed to size x size with bilinear filtering and antialiasing, whatever their aspect.

    Args:
        source: whose images.
        indices: which of them, N positions in `source`.
        size: height and width of the result, in pixels.

    Returns:
        uint8 [N, size, size, 3].

    Raises:
        UserError: one of them is not an image; the message names the file.
    """
    pixels = np.empty((len(indices), size, size, 3), dtype=np.uint8)
    for row, index in zip(pixels, indices, strict=True):
        image = to_rgb(source.read(index))
        if image.size != (size, size):
            image = image.resize((size, size), Image.Resampling.BILINEAR)
        row[:] = np.asarray(image)
    return pixels


def read_image(data: bytes, name: str) -> Image.Image:
    """The image that a file's bytes hold, fully loaded: whatever is wrong with the file comes up here.

    Of an animation or a multi-page file it is the first picture. Orientation tags are not applied, as torchvision's
    ImageFolder does not apply them.

    Args:
        data: the file's content.
        name: how messages call the file.

    Raises:
        UserError: `data` is not an image of one of FORMATS, is truncated, would unpack to more pixels than Pillow
            considers safe, or is a JPEG of so many scans that it would take minutes.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_effort(image, data)
        image.load()
    except UnidentifiedImageError:
        raise UserError(
            f"{name} is not an image of a format that is read ({', '.join(FORMATS)}); replace or remove it"
        ) from None
    # Decoders of broken files raise nearly anything: OSError, SyntaxError, ValueError, struct.error, IndexError.
    except Exception as error:
        raise UserError(f"{name} cannot be read as an image ({error}); replace or remove it") from error
    return image


def _check_effort(image: Image.Image, data: bytes) -> None:
    """Refuse, before anything is unpacked, what would fill the memory or take minutes.

    Raises:
        DecompressionBombError: it would.
    """
    pixels = image.width * image.height
    # Up to twice this limit Pillow only warns.
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

    What stands in its tags, as a small preview, is skipped, and so is what follows its end, as the film of a phone.
    """
    if not data.startswith(_START_OF_IMAGE):
        return 0
    count, position = 0, len(_START_OF_IMAGE)
    while (found := _MARKER.search(data, position)) and found[0] != _END_OF_IMAGE:
        count += found[0] == _START_OF_SCAN
        # The length, in two bytes, counts itself.
        position = found.end() + max(2, int.from_bytes(data[found.end() : found.end() + 2], "big"))
    return count


def to_rgb(image: Image.Image) -> Image.Image:
    """The image in mode RGB: 16-bit greys scaled to 8 bits, transparent parts laid on white."""
    if image.mode.startswith("I"):
        # Pillow would clip these at 255. Mode "I" is 32 bits wide but holds the 16 bits of PNG and PGM files.
        values = np.asarray(image).astype(np.int64).clip(0, 65535)
        image = Image.fromarray((values // 256).astype(np.uint8))
    elif image.has_transparency_data:
        # What hides under transparent pixels is arbitrary.
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, layer)
    return image if image.mode == "RGB" else image.convert("RGB")
