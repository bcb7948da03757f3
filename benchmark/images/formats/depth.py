"""From images of more than 8 bits a value to 8 bits: which value is white."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile

# Notes in an image's `info`: the range of its values, where its file says it; or that its file has room for 16 or 32
# bits, and does not say how many of them are used.
_RANGE, _ROOM = "range of values", "room for values"

# The largest values that 16 and 32 bits have room for.
_ROOMS = (2**16 - 1, 2**32 - 1)
# Numbers of bits that cameras and scanners use.
_USUAL = (8, 10, 12, 14, 16)
# If no value reaches this part of the range, the picture is dark, or the range is another one.
_DARK = 1 / 4
# Modes in which a value of 0 is black. In CMYK it is white.
_COLOURS = ("RGB", "RGBA", "RGBX", "LA")
# The start of a codestream of JPEG 2000 (SOC and SIZ), and the place of the first channel's bits after it.
_CODESTREAM, _PRECISION = b"\xff\x4f\xff\x51", 42


class DepthError(ValueError):
    """It is not known which values of an image are black and white. The message follows the image's name.

    Args:
        what: what is wrong.
        remedy: what is right where it is settled how images are read.
        in_run: what is right where `--grey-range` can be given; `remedy` if None.
    """

    def __init__(self, what: str, remedy: str, in_run: str | None = None):
        super().__init__(f"{what}; {in_run or remedy}")
        self.settled = f"{what}; {remedy}"


def declared_white(image: ImageFile, data: bytes) -> int:
    """The largest value that the header of a file allows, before the image is loaded; 255 if it does not matter.

    Tags of TIFF for the smallest and largest value are not used: by its specification they are statistics of one image.
    Nor is sBIT of PNG, whose values fill the whole range.

    Args:
        image: as opened.
        data: the file's content.
    """
    bits = 8
    if image.format == "PNG" and data[12:16] == b"IHDR":
        bits = data[24]
    elif isinstance(image, TiffImageFile):
        bits = max(image.tag_v2.get(BITSPERSAMPLE, (1,)))
    elif image.format == "PPM":
        arguments = image.tile[0].args
        if isinstance(arguments, tuple) and len(arguments) == 2:
            return int(arguments[1])
        bits = 16 if arguments == "I;16B" else 8
    elif image.format == "JPEG2000":
        place = data.find(_CODESTREAM) + _PRECISION
        bits = (data[place] & 0x7F) + 1 if _PRECISION <= place < len(data) else 8
    return 2**bits - 1


def note_depth(image: ImageFile, white: int) -> None:
    """Note in a loaded image what its file says about its values.

    Args:
        white: see `declared_white`.
    """
    if white in _ROOMS:
        image.info[_ROOM] = white
    elif white > 255:
        # For the other formats, Pillow has already scaled the values to 16 bits.
        image.info[_RANGE] = (0, white if image.format == "TIFF" else 65535)


def is_deep(image: Image.Image) -> bool:
    """Whether an image has one channel with more than 8 bits a value."""
    return image.mode == "F" or image.mode.startswith("I")


def eight_bits(image: Image.Image, grey_range: Sequence[float] = ()) -> Image.Image:
    """A deep image in mode L.

    The range of values is the one that the file says; else `grey_range`; else 0 to 65535 for whole numbers, and 0 to 1
    for floating-point numbers.

    Args:
        image: `is_deep`.
        grey_range: the values that become black and white; values outside of them become black or white too.

    Raises:
        DepthError: without `grey_range`, the values are not in that range, or all are in its lowest quarter, so that
            they probably have another one; or some are not numbers.
    """
    values = np.asarray(image)
    floating = image.mode == "F"
    if floating and not np.isfinite(values).all():
        raise DepthError("has values that are not numbers, or are infinite", "replace them")
    low, high = image.info.get(_RANGE) or grey_range or _usual_range(values, floating)
    shifted = values.astype(np.float64) - low
    scaled = np.rint(shifted * (255 / (high - low))) if floating else shifted * 256 // (high - low + 1)
    return Image.fromarray(scaled.clip(0, 255).astype(np.uint8))


def check_colours(image: Image.Image, grey_range: Sequence[float] = ()) -> None:
    """Refuse a picture of 16 bits a colour that may be dark only because its values have fewer bits.

    Pillow keeps the upper 8 of the 16 bits, so there is nothing left to scale.

    Raises:
        DepthError: all colours are in the lowest quarter of the range, and `grey_range` is not all of it.
    """
    if _ROOM not in image.info or image.mode not in _COLOURS or tuple(grey_range) == (0, 65535):
        return
    brightest = max(int(np.asarray(image.getchannel(name)).max()) for name in image.getbands() if name in "RGBL")
    if brightest < 256 * _DARK:
        raise DepthError(
            f"has room for 16 bits a colour and no value above {brightest * 256 + 255}, so that it would be dark or "
            "black",
            "save it with 8 bits a colour",
            "save it with 8 bits a colour, or give --grey-range=0,65535 if the picture is that dark",
        )


def _usual_range(values: NDArray[np.generic], floating: bool) -> tuple[float, float]:
    """The range of values of a file that does not say it.

    Raises:
        DepthError: see eight_bits.
    """
    least, most = float(values.min()), float(values.max())
    white = 1 if floating else 65535
    if least >= 0 and most <= white and not 0 < most < white * _DARK:
        return 0, white
    example = f"{least:g},{most:g}" if least < 0 or most > 65535 else f"0,{_likely_white(most, floating):g}"
    darker = f", or 0,{white} if the picture is that dark" if least >= 0 and most <= white else ""
    raise DepthError(
        f"has grey values from {least:g} to {most:g}, and its file does not say which of them are black and white "
        f"(without that, 0 and {white} are)",
        "save it with 8 bits",
        f"say it with --grey-range=LOW,HIGH, for example {example}{darker}",
    )


def _likely_white(most: float, floating: bool) -> float:
    """The smallest usual value of white that is not below the largest value of an image."""
    return most if floating and most <= 1 else next(2**bits - 1 for bits in _USUAL if most < 2**bits)
