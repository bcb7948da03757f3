import io

import numpy as np
import pytest
from PIL import Image

from benchmark.images import decode, read_image, to_rgb
from benchmark.streams.source import ArrayImages, ImageSource
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


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP"])
def test_a_truncated_file_is_named(kind):
    data = encoded(Image.fromarray(noise(1, 64).images[0]), kind)
    with pytest.raises(UserError, match=r"^set/0\.png "):
        decode(Files(data[: len(data) // 2]), [0], 8)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("limit", [399, 199])
def test_a_decompression_bomb_is_refused(monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(UserError, match=r"^a\.png cannot be read as an image \(.*pixels"):
        read_image(encoded(Image.new("RGB", (20, 20))), "a.png")
