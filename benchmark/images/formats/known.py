"""The formats of image files that are read, which depend on what is installed."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass

from PIL import __version__ as _pillow
from PIL import features


@dataclass(frozen=True)
class Format:
    """A format of image files.

    Attributes:
        name: Pillow's name.
        extensions: of its files, in small letters and without the dot.
        brands: if it is in an ISO media file (ftyp), the brands with which such files begin.
        reader: the version of the package that reads it, if this is not Pillow itself.
        needs: how to install what reads it; empty if it can be read here.
    """

    name: str
    extensions: tuple[str, ...]
    brands: tuple[bytes, ...] = ()
    reader: str = ""
    needs: str = ""


def _avif() -> Format:
    # Older versions of Pillow do not know the name.
    known = "avif" in features.modules and features.check_module("avif")
    needs = "" if known else 'pip install "pillow>=11.3"'
    return Format("AVIF", ("avif",), (b"avif", b"avis"), needs=needs)


def _heif() -> Format:
    extensions, brands = ("heic", "heif", "hif"), (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1")
    try:
        import pillow_heif
    except ImportError:
        return Format("HEIF", extensions, brands, needs='pip install ".[heif]"')
    pillow_heif.register_heif_opener()
    return Format("HEIF", extensions, brands, f"pillow-heif {pillow_heif.__version__}")


def _jpeg2000() -> Format:
    known = features.check_codec("jpg_2000")
    needs = "" if known else "a Pillow that was built with OpenJPEG"
    return Format("JPEG2000", ("jp2", "j2k", "j2c", "jpc", "jpf", "jpx"), needs=needs)


# Pillow knows others, and starts a program for one of them (PostScript).
_FORMATS = (
    Format("JPEG", ("jpg", "jpeg", "jpe", "jfif", "jfi", "jif", "mpo")),
    Format("PNG", ("png", "apng")),
    Format("BMP", ("bmp",)),
    Format("GIF", ("gif",)),
    Format("TIFF", ("tif", "tiff")),
    Format("WEBP", ("webp",)),
    Format("PPM", ("ppm", "pgm", "pbm", "pnm", "pfm")),
    _jpeg2000(),
    # Before HEIF: both have files that begin with the brand mif1, and Pillow goes on to the next if one cannot read it.
    _avif(),
    _heif(),
)
_READ = tuple(one for one in _FORMATS if not one.needs)

#: Pillow's names of the formats that are read.
FORMATS = tuple(one.name for one in _READ)

#: The ends of the names of files that are taken for images.
EXTENSIONS = tuple(f".{extension}" for one in _READ for extension in one.extensions)

#: The packages that read image files, with their versions: with another one, a pixel may have another value.
READERS = ", ".join([f"Pillow {_pillow}", *(one.reader for one in _READ if one.reader)])


def what_is_missing(paths: Iterable[str]) -> str:
    """How to install what reads files with these extensions, for a message; empty if nothing would help."""
    ends = {posixpath.splitext(path)[1].lower().removeprefix(".") for path in paths}
    missing = [one for one in _FORMATS if one.needs and ends.intersection(one.extensions)]
    return " and ".join(f"{one.name} is read after: {one.needs}" for one in missing)


def unread_format(data: bytes) -> Format | None:
    """The format of a file's content, if it is known but what reads it is not installed."""
    brand = data[8:12] if data[4:8] == b"ftyp" else None
    return next((one for one in _FORMATS if one.needs and brand in one.brands), None)
