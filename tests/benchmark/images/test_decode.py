import io
import re

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from benchmark.images.decode import MOST_SCANS, Reading, _scans, decode, decode_and_measure, read_image, to_rgb
from benchmark.images.formats.known import FORMATS
from benchmark.images.formats.sizes import Sizes
from benchmark.images.source import ArrayImages, ImageSource
from methods.errors import UserError


class Files(ImageSource):
    """Encoded images in memory."""

    def __init__(self, *files: bytes):
        self.files = files
        self.labels = [0] * len(files)

    def read(self, index):
        return read_image(self.files[index], f"set/{index}.png")


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(count: int, size: int) -> ArrayImages:
    random = np.random.RandomState(0)
    return ArrayImages(random.randint(0, 256, (count, size, size, 3), dtype=np.uint8), [0] * count)


def colour(data: bytes) -> tuple[int, ...]:
    """The top left pixel after decoding."""
    return tuple(decode(Files(data), [0], 8)[0, 0, 0].tolist())


def test_images_of_the_right_size_keep_their_bytes_and_the_order_asked_for():
    source = noise(100, 16)
    indices = [*range(99, 0, -2), 0, 0]
    decoded = decode(source, indices, 16)
    assert decoded.dtype == np.uint8
    assert decoded.flags.c_contiguous
    assert np.array_equal(decoded, source.images[indices])


def test_resizing_is_antialiased():
    stripes = Image.fromarray(np.tile(np.array([0, 255], dtype=np.uint8), (64, 32)))
    decoded = decode(Files(encoded(stripes)), [0], 8)
    assert decoded.shape == (1, 8, 8, 3)
    assert ((decoded > 100) & (decoded < 156)).all()


def test_every_shape_becomes_a_square():
    wide = Image.new("RGB", (40, 10), (10, 20, 30))
    assert decode(Files(encoded(wide)), [0], 12).shape == (1, 12, 12, 3)


def test_no_images_give_an_empty_array():
    assert decode(noise(1, 8), [], 8).shape == (0, 8, 8, 3)


def test_decoding_twice_gives_the_same_bytes():
    source = noise(80, 20)
    assert np.array_equal(decode(source, range(80), 9), decode(source, range(80), 9))


def test_greys_fill_three_channels():
    assert colour(encoded(Image.new("L", (8, 8), 77))) == (77, 77, 77)
    assert colour(encoded(Image.new("1", (8, 8), 1))) == (255, 255, 255)


def test_one_channel_of_a_grey_image_keeps_its_bytes():
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    source = ArrayImages(np.repeat(values[..., None], 3, axis=-1), [0])
    assert np.array_equal(decode(source, [0], 16, channels=1)[..., 0], values)


def test_one_channel_of_a_colour_is_its_luma():
    source = ArrayImages(np.full((1, 8, 8, 3), (200, 100, 50), dtype=np.uint8), [0])
    pixels = decode(source, [0], 4, channels=1)
    assert pixels.shape == (1, 4, 4, 1)
    assert np.unique(pixels).tolist() == [round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)]


def test_sixteen_bits_are_scaled_not_clipped():
    deep = Image.fromarray(np.full((8, 8), 0x4D00, dtype=np.uint16))
    assert colour(encoded(deep)) == (0x4D, 0x4D, 0x4D)
    assert colour(encoded(deep, "TIFF")) == (0x4D, 0x4D, 0x4D)
    assert colour(encoded(deep, "PPM")) == (0x4D, 0x4D, 0x4D)


def test_transparent_pixels_are_white():
    assert colour(encoded(Image.new("RGBA", (8, 8), (200, 0, 0, 0)))) == (255, 255, 255)
    assert colour(encoded(Image.new("LA", (8, 8), (50, 0)))) == (255, 255, 255)
    palette = Image.new("P", (8, 8), 3)
    palette.putpalette([0, 0, 0, 9, 9, 9, 8, 8, 8, 200, 100, 50])
    assert colour(encoded(palette)) == (200, 100, 50)
    assert colour(encoded(palette, transparency=3)) == (255, 255, 255)
    assert colour(encoded(palette, transparency=bytes([255, 255, 255, 0]))) == (255, 255, 255)


def test_cmyk_becomes_rgb():
    red, green, blue = colour(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95))
    assert red > 240
    assert green < 15
    assert blue < 15


# A picture of 2 rows and 3 columns as it lies in the file, and how it looks upright. The tag says where row 0 and
# column 0 are: 1 is top and left, 2 top and right, 3 bottom and right, 4 bottom and left, 5 left and top, ...
TAKEN = np.array([[1, 2, 3], [4, 5, 6]])
UPRIGHT = {
    1: [[1, 2, 3], [4, 5, 6]],
    2: [[3, 2, 1], [6, 5, 4]],
    3: [[6, 5, 4], [3, 2, 1]],
    4: [[4, 5, 6], [1, 2, 3]],
    5: [[1, 4], [2, 5], [3, 6]],
    6: [[4, 1], [5, 2], [6, 3]],
    7: [[6, 3], [5, 2], [4, 1]],
    8: [[3, 6], [2, 5], [1, 4]],
}


def with_orientation(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_photos_are_turned_upright(kind, orientation):
    # Blocks, so that a lossy format keeps their colours apart.
    blocks = np.kron(40 * TAKEN, np.ones((16, 16))).astype(np.uint8)
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    data = encoded(Image.fromarray(blocks).convert("RGB"), kind, exif=with_orientation(orientation), **options)
    upright = np.asarray(to_rgb(read_image(data, "a")))[8::16, 8::16, 0]
    assert np.rint(upright / 40).astype(int).tolist() == UPRIGHT[orientation]


def test_a_photo_that_lies_on_its_side_has_the_pixels_of_the_upright_one():
    upright = Image.fromarray(np.random.RandomState(0).randint(0, 256, (30, 20, 3)).astype(np.uint8))
    # 6: the camera was turned, so that the right side of the picture is at the top of the file.
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    files = Files(encoded(upright), encoded(lying, exif=with_orientation(6)))
    for resize in ("squeeze", "crop"):
        (one,), (other,) = (decode(files, [index], 8, reading=Reading(resize)) for index in (0, 1))
        assert np.array_equal(one, other)
    pixels, sizes = decode_and_measure(files, [0, 1], 8, 3, Reading())
    assert sizes == Sizes((20, 30), (20, 30))
    assert pixels.shape == (2, 8, 8, 3)


def test_images_of_other_sources_are_turned_too():
    class Opened(Files):
        def read(self, index):
            # As data sets of Avalanche and torchvision do.
            return Image.open(io.BytesIO(self.files[index])).convert("RGB")

    picture = Image.new("RGB", (8, 4))
    assert to_rgb(Opened(encoded(picture, "JPEG", exif=with_orientation(6))).read(0)).size == (4, 8)


@pytest.mark.parametrize(
    "tag", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0", b"Exif\0\0" + b"\xff" * 40, b"Exif\0\0II*\0\x08\0\0\0\x09\0"]
)
@pytest.mark.filterwarnings("error")
def test_damaged_tags_do_not_matter(tag):
    # The filter of the module, which pytest has taken away.
    import warnings

    warnings.filterwarnings("ignore", message="Corrupt EXIF data", category=UserWarning)
    assert colour(encoded(Image.new("RGB", (8, 4), (250, 250, 250)), "JPEG", exif=tag)) == (250, 250, 250)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_without_a_meaning_turns_nothing(value):
    assert to_rgb(read_image(encoded(Image.new("L", (8, 4)), exif=with_orientation(value)), "a")).size == (8, 4)


def test_a_deep_grey_photo_is_turned_too():
    values = (TAKEN * 10000).astype(np.uint16)
    image = to_rgb(read_image(encoded(Image.fromarray(values), exif=with_orientation(8)), "a"))
    assert np.asarray(image)[:, :, 0].tolist() == (np.array(UPRIGHT[8]) * 10000 // 256).tolist()


@pytest.mark.parametrize("shape", [(10, 40), (40, 10), (11, 8), (8, 11)])
def test_the_largest_square_in_the_middle_is_cropped(shape):
    pixels = np.random.RandomState(0).randint(0, 256, (*shape, 3)).astype(np.uint8)
    height, width = shape
    side = min(shape)
    top, left = (height - side) / 2, (width - side) / 2
    box = (left, top, left + side, top + side)
    expected = Image.fromarray(pixels).resize((5, 5), Image.Resampling.BILINEAR, box=box)
    (cropped,) = decode(Files(encoded(Image.fromarray(pixels))), [0], 5, reading=Reading("crop"))
    assert np.array_equal(cropped, np.asarray(expected))


def test_a_circle_stays_round_only_if_it_is_cropped():
    rows, columns = np.mgrid[:40, :80]
    circle = ((rows - 19.5) ** 2 + (columns - 39.5) ** 2 < 15**2).astype(np.uint8) * 255
    file = Files(encoded(Image.fromarray(circle)))
    (squeezed,), (cropped,) = (decode(file, [0], 40, 1, Reading(resize)) for resize in ("squeeze", "crop"))

    def shape(image):
        bright = image[..., 0] > 127
        return bright.any(1).sum(), bright.any(0).sum()

    # Half as wide; at an edge, a pixel may be half bright.
    assert shape(squeezed) in ((30, 15), (30, 16))
    assert shape(cropped) == (30, 30)
    assert np.array_equal(cropped[..., 0], np.asarray(ImageOps.fit(Image.fromarray(circle), (40, 40))))


def test_a_square_is_the_same_cropped_and_squeezed():
    source = noise(3, 16)
    assert np.array_equal(decode(source, range(3), 9), decode(source, range(3), 9, reading=Reading("crop")))


def test_an_image_has_the_same_pixels_alone_and_among_others():
    depths = [np.full((8, 8), value, dtype=np.uint16) for value in (20000, 40000, 65535)]
    files = Files(*(encoded(Image.fromarray(values)) for values in depths))
    together = decode(files, range(3), 8)
    assert all(np.array_equal(decode(files, [index], 8)[0], together[index]) for index in range(3))


def test_an_image_of_unknown_depth_is_named():
    good = encoded(Image.new("RGB", (8, 8)))
    bad = encoded(Image.fromarray(np.full((8, 8), 200, dtype=np.uint16)))
    with pytest.raises(
        UserError, match=r"^image 1 has grey values from 200 to 200, .*--grey-range=LOW,HIGH, for .* 0,255"
    ):
        decode(Files(good, bad), [0, 1], 8)
    assert decode(Files(good, bad), [1], 8, reading=Reading(grey_range=(0, 255)))[0, 0, 0].tolist() == [200] * 3


def test_rgb_is_left_alone():
    image = Image.new("RGB", (8, 8))
    assert to_rgb(image) is image


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"", "is not an image"), (b"<html>not found</html>", "is not an image")],
    ids=["empty", "html"],
)
def test_what_is_not_an_image_is_named(data, says):
    good = encoded(Image.new("RGB", (8, 8)))
    with pytest.raises(UserError, match=rf"^set/2\.png {says}"):
        decode(Files(good, good, data), [0, 1, 2], 8)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "JPEG2000", "AVIF", "HEIF"])
def test_a_truncated_file_is_named(kind):
    if kind not in FORMATS:
        pytest.skip(f"what reads {kind} is not installed")
    data = encoded(Image.fromarray(noise(1, 64).images[0]), kind)
    with pytest.raises(UserError, match=r"^set/0\.png "):
        decode(Files(data[: len(data) // 2]), [0], 8)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("limit", [399, 199])
def test_a_decompression_bomb_is_refused(monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(UserError, match=r"^a\.png cannot be read as an image \(.*pixels"):
        read_image(encoded(Image.new("RGB", (20, 20))), "a.png")


@pytest.mark.parametrize(
    "kind", ["JPEG", "MPO", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF", "HEIF"]
)
def test_the_formats_of_the_documentation_are_read_whatever_the_file_is_called(kind):
    if kind not in (*FORMATS, "MPO"):
        pytest.skip(f"what reads {kind} is not installed")
    picture = Image.new("L" if kind == "GIF" else "RGB", (8, 8), 50 if kind == "GIF" else (50, 50, 50))
    assert max(abs(value - 50) for value in colour(encoded(picture, kind))) < 5


@pytest.mark.parametrize("kind", ["ICO", "TGA", "PCX", "SGI", "DDS", "MSP", "SPIDER", "EPS"])
def test_other_formats_are_refused_whatever_the_file_is_called(kind):
    picture = Image.new("1" if kind == "MSP" else "F" if kind == "SPIDER" else "RGB", (16, 16))
    with pytest.raises(UserError, match=r"^set/0\.png is not an image of a format that is read \(JPEG, PNG, BMP, GIF"):
        decode(Files(encoded(picture, kind)), [0], 8)


def test_postscript_starts_no_program(monkeypatch, tmp_path):
    script = tmp_path / "gs"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path / 'started'}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    page = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    with pytest.raises(UserError, match="is not an image of a format that is read"):
        decode(Files(page), [0], 8)
    assert not (tmp_path / "started").exists()


def progressive(*, more: int = 0, before_each: bytes = b"", size: int = 64) -> bytes:
    """A progressive JPEG of noise that repeats its last scan so many times."""
    data = encoded(Image.fromarray(noise(1, size).images[0]), "JPEG", progressive=True)
    *_, start = (found.start() for found in re.finditer(rb"\xff\xda", data))
    return data[:start] + (before_each + data[start:-2]) * (1 + more) + data[-2:]


def test_a_jpeg_of_as_many_scans_as_there_may_be_is_read():
    # As libjpeg makes it, it has ten.
    assert _scans(progressive()) == 10
    assert _scans(progressive(more=90)) == MOST_SCANS == 100
    assert decode(Files(progressive(more=90)), [0], 8).shape == (1, 8, 8, 3)


@pytest.mark.parametrize("between", [b"", b"\xff\xff\xff", b"\xff\x01\xff\x01"], ids=["nothing", "fill", "no meaning"])
def test_a_jpeg_of_more_scans_is_refused_before_it_is_decoded(monkeypatch, between):
    monkeypatch.setattr(JpegImageFile, "load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(UserError, match=r"^a\.jpg cannot be read as an image \(its 101 scans are more than 100\)"):
        read_image(progressive(more=91, before_each=between), "a.jpg")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_large_jpeg_may_have_fewer_scans(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64)
    read_image(progressive(more=10), "a.jpg")
    with pytest.raises(UserError, match=r"^a\.jpg cannot .*21 scans over 64x64 pixels are more than 20 over 4096"):
        read_image(progressive(more=11), "a.jpg")


def test_scans_of_previews_and_of_what_follows_the_end_do_not_count():
    data = progressive()
    preview = b"\xff\xda\x00\x08" * 500
    comment = b"\xff\xfe" + (2 + len(preview)).to_bytes(2, "big") + preview
    assert _scans(data[:2] + comment + data[2:] + preview) == 10


@pytest.mark.parametrize("data", [b"", b"\xff", b"\xff\xd8\xff", b"\xff\xd8\xff\xda", b"\xff\xd8\xff\xe0\xff"])
def test_scans_of_what_is_cut_short(data):
    assert _scans(data) <= 1


def test_scans_of_other_formats():
    assert _scans(encoded(Image.new("RGB", (8, 8)))) == 0
