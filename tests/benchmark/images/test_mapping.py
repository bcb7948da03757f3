"""A mapped file: its bytes, and none of its descriptors."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from benchmark.images.mapping import map_file, release


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(bytes(range(256)) * 40)
    return tmp_path / "file"


def test_the_bytes_outlive_the_open_file_and_its_name(path: Path):
    with path.open("rb") as file:
        array = map_file(file, 10_000)
    path.unlink()
    expected = np.tile(np.arange(256, dtype=np.uint8), 40)[:10_000]
    assert np.array_equal(array, expected)
    release(array)
    assert np.array_equal(array, expected)


def test_what_is_written_stays_in_memory_until_it_is_released(path: Path):
    with path.open("rb") as file:
        array = map_file(file, 256)
    array[:] = 7
    assert path.read_bytes() == bytes(range(256)) * 40
    release(array)
    assert np.array_equal(array, np.arange(256, dtype=np.uint8))


def test_a_refusal_is_an_error_of_the_system(path: Path):
    reading, writing = os.pipe()
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe, pytest.raises(OSError, match="No such device") as error:
        map_file(pipe, 10)
    assert error.value.errno is not None
