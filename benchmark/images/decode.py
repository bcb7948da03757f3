"""From an image file to pixels."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from benchmark.images.formats.depth import DepthError, check_colours, declared_white, eight_bits, is_deep, note_depth
from benchmark.images.formats.known import FORMATS, READERS, unread_format
from benchmark.images.formats.sizes import Size, Sizes, sizes_of
from benchmark.images.source import ImageSource
from methods.errors import UserError

Pixels = NDArray[np.uint8]

#: Stands for all that the pixels depend on, except the file and what is asked: raise the number when `decode` changes.
DECODER = f"3, {READERS}"

#: "squeeze": the whole picture, whatever its shape. "crop": the largest square in its middle.
Resize = Literal["squeeze", "crop"]


@dataclass(frozen=True)
class Reading:
    """What a user says about how images become pixels, beside their size and channels.

    Attributes:
        resize: how a picture of another shape becomes a square.
        grey_range: see depth.eight_bits.
    """

    resize: Resize = "squeeze"
    grey_range: tuple[float, ...] = ()


#: What is done if a user says nothing.
PLAIN = Reading()

_FILTER = Image.Resampling.BILINEAR

#: A JPEG may have many scans, and each goes over the whole picture. This is the largest number of scans ...
MOST_SCANS = 100
#: ... and all together may go over at most this many times the pixels that one picture may have.
MOST_FULL_SCANS = 20

# A marker with a length after it: not a stuffed byte, a restart, a fill byte or a byte without meaning.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = b"\xff\xd8", b"\xff\xd9", b"\xff\xda"

# What turns a picture upright, for each value of the tag for its orientation (EXIF 2.32, section 4.6.4).
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Many photos have damaged tags. Only one tag is read, and a damaged one is ignored.
warnings.filterwarnings("ignore", message="Corrupt EXIF data", category=UserWarning)


def decode(
    source: ImageSource, indices: Sequence[int], size: int, channels: int = 3, reading: Reading = PLAIN
) -> Pixels:
    """The chosen images as squares, in the order of `indices`; the same bytes on every call.

    Each image is decoded by itself, so an image has the same pixels alone and among others. Images of another size are
    resized to size x size with bilinear filtering and antialiasing.

    Args:
        source: the source of the images.
        indices: the chosen images, N positions in `source`.
        size: height and width of the result, in pixels.
        channels: 3 for colours, 1 for grey. A grey pixel is the luma of its colour (ITU-R 601).
        reading: how images of other shapes and depths are read.

    Returns:
        uint8 [N, size, size, channels].

    Raises:
        UserError: one is not an image, or it is not known which of its values are black and white; the message names
            the file.
    """
    return decode_and_measure(source, indices, size, channels, reading)[0]


def decode_and_measure(
    source: ImageSource, indices: Sequence[int], size: int, channels: int, reading: Reading
) -> tuple[Pixels, Sizes | None]:
    """`decode`, and the sizes of the images before they were resized, upright."""
    pixels = np.empty((len(indices), size, size, channels), dtype=np.uint8)
    met: set[Size] = set()
    for row, index in zip(pixels, indices, strict=True):
        try:
            image = to_rgb(source.read(index), reading.grey_range)
        except DepthError as error:
            raise UserError(f"{source.describe(index)} {error}") from None
        met.add(image.size)
        row[:] = _square(image, size, channels, reading)
    return pixels, sizes_of(met)


def decode_readable(
    source: ImageSource, indices: Sequence[int], size: int, channels: int = 3, reading: Reading = PLAIN
) -> tuple[Pixels, dict[int, str]]:
    """Like `decode`, but images that cannot be read stop nothing, and `reading` is settled: no advice is to change it.

    Returns:
        The pixels, zero for an image that cannot be read, and place in `indices` -> what is wrong with that image.
    """
    pixels = np.zeros((len(indices), size, size, channels), dtype=np.uint8)
    causes = {}
    for place, index in enumerate(indices):
        try:
            pixels[place] = _square(to_rgb(source.read(index), reading.grey_range), size, channels, reading)
        except UserError as error:
            causes[place] = str(error)
        except DepthError as error:
            causes[place] = f"{source.describe(index)} {error.settled}"
    return pixels, causes


def _square(image: Image.Image, size: int, channels: int, reading: Reading) -> Pixels:
    """An upright image in RGB as a square of `channels` values for each pixel: uint8 [size, size, channels]."""
    if channels == 1:
        image = image.convert("L")
    if image.size != (size, size):
        crop = reading.resize == "crop"
        image = ImageOps.fit(image, (size, size), _FILTER) if crop else image.resize((size, size), _FILTER)
    return np.asarray(image).reshape(size, size, channels)


def read_image(data: bytes, name: str) -> Image.Image:
    """The image in a file's bytes, fully loaded, so that every fault of the file is found here.

    An animation or a multi-page file gives its first picture. `to_rgb` turns it upright.

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
        white = declared_white(image, data)
        image.load()
        note_depth(image, white)
    except UnidentifiedImageError:
        known = unread_format(data)
        if known:
            raise UserError(f"{name} is a {known.name} image, which is read after: {known.needs}") from None
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


def to_rgb(image: Image.Image, grey_range: Sequence[float] = ()) -> Image.Image:
    """The image in mode RGB and upright: deep greys scaled to 8 bits, transparent parts laid on white.

    Args:
        image: any mode.
        grey_range: see depth.eight_bits.

    Raises:
        DepthError: it is not known which values are black and white.
    """
    turn = _TURNS.get(_orientation(image))
    if is_deep(image):
        image = eight_bits(image, grey_range)
    else:
        check_colours(image, grey_range)
        if image.has_transparency_data:
            # The colours of transparent pixels are arbitrary.
            layer = image.convert("RGBA")
            white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
            image = Image.alpha_composite(white, layer)
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    return rgb if turn is None else rgb.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """The tag that says how a camera was held, from 1 to 8; 1 if there is none, or if it is damaged."""
    if not image.info:
        return 1
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    # Pillow raises nearly anything for damaged tags.
    except Exception:
        return 1
