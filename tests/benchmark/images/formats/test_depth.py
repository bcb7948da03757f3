"""Deep greys become 8 bits by what their file says, or by a range that the user gives; nothing is black in silence."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from benchmark.images.decode import read_image, to_rgb
from benchmark.images.formats.depth import DepthError
from benchmark.images.formats.known import FORMATS

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def encoded(values, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind, **options)
    return file.getvalue()


def grey(data: bytes, grey_range=()) -> np.ndarray:
    """The grey values after decoding; all channels must be the same."""
    pixels = np.asarray(to_rgb(read_image(data, "a"), grey_range))
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0]


def pgm(values, white: int) -> bytes:
    height, width = values.shape
    return b"P5 %d %d %d\n" % (width, height, white) + values.astype(">u2").tobytes()


# Formats that have room for 16 bits or more: how to write whole numbers into them.
ROOMY = {
    "png": lambda values: encoded(values.astype(np.uint16)),
    "tiff of 16 bits": lambda values: encoded(values.astype(np.uint16), "TIFF"),
    "packed tiff": lambda values: encoded(values.astype(np.uint16), "TIFF", compression="tiff_lzw"),
    "tiff of 32 bits": lambda values: encoded(values.astype(np.int32), "TIFF"),
    "pgm": lambda values: pgm(values, 65535),
    "plain pgm": lambda values: b"P2 16 16 65535\n" + " ".join(map(str, values.ravel())).encode(),
}
roomy = pytest.mark.parametrize("write", ROOMY.values(), ids=ROOMY)


@roomy
def test_all_16_bits_are_scaled(write):
    assert np.array_equal(grey(write(RAMP.astype(int) * 257)), RAMP)


@roomy
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_fewer_bits_are_refused_with_what_they_may_be(write, bits):
    values = RAMP.astype(int) << (bits - 8)
    with pytest.raises(
        DepthError, match=rf"^has grey values from 0 to {values.max()}, .* 0,{2**bits - 1}, or 0,65535 if"
    ):
        grey(write(values))


@roomy
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_fewer_bits_are_right_with_their_range(write, bits):
    assert np.array_equal(grey(write(RAMP.astype(int) << (bits - 8)), (0.0, 2.0**bits - 1)), RAMP)


@roomy
def test_a_dark_picture_stays_dark_if_its_range_is_given(write):
    assert np.array_equal(grey(write(RAMP.astype(int) * 16), (0, 65535)), RAMP // 16)


@roomy
def test_what_is_black_at_any_range_is_black(write):
    assert not grey(write(np.zeros((16, 16), dtype=int))).any()


def test_the_quarter_is_the_limit():
    assert grey(encoded(np.full((4, 4), 16384, dtype=np.uint16))).max() == 64
    with pytest.raises(DepthError):
        grey(encoded(np.full((4, 4), 16383, dtype=np.uint16)))


@pytest.mark.parametrize("values", [(-1000, 3000), (0, 65536), (0, 2**31 - 1), (-5, -1)])
def test_whole_numbers_outside_of_16_bits_are_refused(values):
    data = encoded(np.array([values] * 2, dtype=np.int32), "TIFF")
    with pytest.raises(DepthError, match=rf"^has grey values from {values[0]:g} to .* 0 and 65535 are\)"):
        grey(data)


def test_values_outside_of_a_given_range_become_black_and_white():
    data = encoded(np.array([[-2000, -1000, 0, 999, 1000, 3000]], dtype=np.int32), "TIFF")
    # A window of a CT: each of 2001 values is the same part of 256 greys.
    assert grey(data, (-1000, 1000)).tolist() == [[0, 0, 1000 * 256 // 2001, 1999 * 256 // 2001, 255, 255]]


def test_floating_point_from_0_to_1_is_scaled():
    assert np.array_equal(grey(encoded(RAMP.astype(np.float32) / 255, "TIFF")), RAMP)


@pytest.mark.parametrize(
    ("values", "example"),
    [
        (RAMP.astype(np.float32), "0,255"),
        (RAMP.astype(np.float32) * 257, "0,65535"),
        (RAMP.astype(np.float32) * 16, "0,4095"),
        (RAMP.astype(np.float32) / 51 - 2, "-2,3"),
        (RAMP.astype(np.float32) / 2550, "0,0.1, or 0,1 if the picture is that dark"),
        (RAMP.astype(np.float32) * 1e6, "0,2.55e+08"),
    ],
    ids=["8 bits", "16 bits", "12 bits", "below 0", "dark", "huge"],
)
def test_other_floating_point_numbers_are_refused(values, example):
    with pytest.raises(DepthError) as refused:
        grey(encoded(values, "TIFF"))
    assert str(refused.value).endswith(f"--grey-range=LOW,HIGH, for example {example}")


def test_other_floating_point_numbers_are_right_with_their_range():
    assert np.array_equal(grey(encoded(RAMP.astype(np.float32) * 257, "TIFF"), (0, 65535)), RAMP)
    assert np.array_equal(grey(encoded(RAMP.astype(np.float32) / 51 - 2, "TIFF"), (-2, 3)), RAMP)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("grey_range", [(), (0, 1)])
def test_what_is_no_number_is_refused(value, grey_range):
    values = RAMP.astype(np.float32) / 255
    values[0, 0] = value
    with pytest.raises(DepthError, match="values that are not numbers"):
        grey(encoded(values, "TIFF"), grey_range)


def tiff_of_12_bits(values) -> bytes:
    """A file of BitsPerSample 12, which Pillow does not write: two values in three bytes."""
    pairs = values.reshape(-1, 2)
    packed = b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in pairs.tolist())
    height, width = values.shape
    tags = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(packed)}
    directory = b"".join(
        tag.to_bytes(2, "little") + b"\x04\0\x01\0\0\0" + value.to_bytes(4, "little") for tag, value in tags.items()
    )
    start = 8 + len(packed) + len(packed) % 2
    head = b"II*\0" + start.to_bytes(4, "little") + packed + b"\0" * (len(packed) % 2)
    return head + len(tags).to_bytes(2, "little") + directory + b"\0" * 4


@pytest.mark.parametrize("grey_range", [(), (0, 65535)])
@pytest.mark.parametrize("most", [255, 16])
def test_a_file_that_says_its_depth_is_read_by_it(grey_range, most):
    """Also a dark picture, and whatever range is given for files that do not say it."""
    ramp = RAMP % np.int64(most + 1)
    deep = ramp.astype(int) << 4
    assert np.array_equal(grey(tiff_of_12_bits(deep), grey_range), ramp)
    # Pillow stretches these to 16 bits, rounded.
    stretched = np.rint(deep / 4095 * 65535).astype(int) // 256
    assert np.array_equal(grey(pgm(deep, 4095), grey_range), stretched)


@pytest.mark.skipif("JPEG2000" not in FORMATS, reason="this Pillow does not read JPEG 2000")
def test_jpeg_2000_of_16_bits():
    assert np.array_equal(grey(encoded(RAMP.astype(np.uint16) * 257, "JPEG2000")), RAMP)
    with pytest.raises(DepthError):
        grey(encoded(RAMP.astype(np.uint16), "JPEG2000"))


def colours_of_16_bits(values) -> bytes:
    """A PNG of 16 bits a colour, which Pillow does not write: red as given, green and blue 0."""
    height, width = values.shape
    rows = np.zeros((height, width, 3), dtype=">u2")
    rows[..., 0] = values
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_colours_of_16_bits_are_right_where_their_upper_8_bits_are_used():
    pixels = np.asarray(to_rgb(read_image(colours_of_16_bits(RAMP.astype(int) * 257), "a")))
    assert np.array_equal(pixels[..., 0], RAMP)
    assert not pixels[..., 1:].any()


@pytest.mark.parametrize("grey_range", [(), (0, 255)])
@pytest.mark.parametrize("factor", [1, 16, 64])
def test_colours_of_16_bits_that_would_be_dark_are_refused(factor, grey_range):
    data = colours_of_16_bits(RAMP.astype(int) * factor)
    with pytest.raises(DepthError, match=r"^has room for 16 bits a colour and no value above") as refused:
        to_rgb(read_image(data, "a"), grey_range)
    assert "--grey-range=0,65535" in str(refused.value)
    assert refused.value.settled.endswith("so that it would be dark or black; save it with 8 bits a colour")
    assert np.asarray(to_rgb(read_image(data, "a"), (0, 65535)))[..., 0].max() == 255 * factor // 256


def test_colours_of_8_bits_may_be_dark():
    for kind in ("PNG", "TIFF", "PPM", "BMP"):
        data = encoded(np.full((4, 4, 3), 1, dtype=np.uint8), kind)
        assert np.asarray(to_rgb(read_image(data, "a"))).max() == 1
