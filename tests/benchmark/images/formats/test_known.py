"""What is read depends on what is installed, and what is missing is named."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from benchmark.images.decode import DECODER, read_image, to_rgb
from benchmark.images.formats import known
from methods.errors import UserError


def without() -> str:
    """What a process says in which the optional readers are not installed."""
    code = (
        "import sys; sys.modules['pillow_heif'] = None\n"
        "from PIL import features\n"
        "features.modules.pop('avif', None); features.check_codec = lambda name: False\n"
        "from benchmark.images.formats.known import EXTENSIONS, FORMATS, READERS, what_is_missing, unread_format\n"
        "print(FORMATS, '.avif' in EXTENSIONS, '.jp2' in EXTENSIONS, '.heic' in EXTENSIONS, sep='; ')\n"
        "print(what_is_missing(['a/b.HEIC', 'c.avif', 'd.svg', 'e.jp2']))\n"
        "print(what_is_missing(['d.svg', 'e.jpg', 'heic']) == '')\n"
        "print(unread_format(b'    ftypheic').name, unread_format(b'    ftypavif').name, unread_format(b'x'))\n"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_without_the_optional_readers():
    read, missing, nothing, known = without().splitlines()
    assert read == "('JPEG', 'PNG', 'BMP', 'GIF', 'TIFF', 'WEBP', 'PPM'); False; False; False"
    assert missing == (
        "JPEG2000 is read after: a Pillow that was built with OpenJPEG and AVIF is read after: "
        'pip install "pillow>=11.3" and HEIF is read after: pip install ".[heif]"'
    )
    assert nothing == "True"
    assert known == "HEIF AVIF None"


def test_the_versions_of_the_readers_are_part_of_the_key_of_decoded_images():
    assert known.READERS.startswith(f"Pillow {Image.__version__}")
    assert DECODER.endswith(known.READERS)
    assert ("pillow-heif" in known.READERS) == ("HEIF" in known.FORMATS)


def test_heic_under_another_name_says_what_to_install():
    if "HEIF" in known.FORMATS:
        pytest.skip("pillow-heif is installed")
    data = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
    with pytest.raises(UserError, match=r'^a\.jpg is a HEIF image, which is read after: pip install "\.\[heif\]"'):
        read_image(data, "a.jpg")


def test_heic_is_read_and_upright():
    pytest.importorskip("pillow_heif", reason='HEIC needs pillow-heif: pip install ".[heif]"')
    blocks = np.kron(np.array([[40, 120, 200], [80, 160, 240]]), np.ones((32, 32))).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(blocks).convert("RGB").save(file, "HEIF", quality=95, exif=exif.tobytes())
    # As phones do, it says twice how the camera was held: the picture must be turned once.
    assert b"irot" in file.getvalue()
    image = np.asarray(to_rgb(read_image(file.getvalue(), "a.heic")))
    assert np.abs(image[16::32, 16::32, 0] - np.array([[80, 40], [160, 120], [240, 200]])).max() < 6


@pytest.mark.skipif("AVIF" not in known.FORMATS, reason="this Pillow does not read AVIF")
def test_avif_is_read_and_upright():
    blocks = np.kron(np.array([[40, 120, 200], [80, 160, 240]]), np.ones((32, 32))).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(blocks).convert("RGB").save(file, "AVIF", quality=95, exif=exif)
    image = np.asarray(to_rgb(read_image(file.getvalue(), "a.avif")))
    assert np.abs(image[16::32, 16::32, 0] - np.array([[80, 40], [160, 120], [240, 200]])).max() < 6
