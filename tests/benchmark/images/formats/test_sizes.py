from dataclasses import asdict

import pytest

from benchmark.images.formats.sizes import Sizes, joined, read_sizes, sizes_of, write_sizes
from benchmark.storage.json_files import sealed

MET = Sizes((10, 40), (300, 200))


def test_the_ends_are_those_of_the_fewest_and_the_most_pixels():
    assert sizes_of([(300, 200), (10, 40), (90, 90), (1000, 10)]) == MET
    assert sizes_of([(7, 7), (7, 7)]) == Sizes((7, 7), (7, 7))
    assert sizes_of([(40, 10), (10, 40)]) == Sizes((10, 40), (40, 10))
    assert sizes_of([]) is None


def test_parts_are_joined():
    assert joined([Sizes((9, 9), (300, 200)), None, Sizes((5, 5), (7, 7))]) == Sizes((5, 5), (300, 200))
    assert joined([None, None]) is None
    assert joined([]) is None


def test_they_read_well():
    assert str(MET) == "10x40 to 300x200"
    assert str(Sizes((7, 7), (7, 7))) == "7x7"


def test_they_are_kept(tmp_path):
    assert read_sizes(tmp_path) is None
    write_sizes(tmp_path, None)
    assert list(tmp_path.iterdir()) == []
    write_sizes(tmp_path, MET)
    assert read_sizes(tmp_path) == MET
    assert asdict(MET) == {"smallest": (10, 40), "largest": (300, 200)}


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", sealed("{}"), sealed('{"smallest": [1], "largest": [1, 2]}'), sealed('{"smallest": 1, "largest": 2}')],
)
def test_damaged_ones_are_not_known(tmp_path, content):
    write_sizes(tmp_path, MET)
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    assert read_sizes(tmp_path) is None


def test_a_changed_number_is_seen(tmp_path):
    write_sizes(tmp_path, MET)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes().replace(b"300", b"301"))
    assert read_sizes(tmp_path) is None
