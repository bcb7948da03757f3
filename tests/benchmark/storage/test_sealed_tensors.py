"""Files of tensors that show whether they are undamaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from benchmark.files import StorageError
from benchmark.storage.sealed_tensors import read_sealed, read_tensors, write_tensors

ABOUT = {"tasks": ["a", "ü\n\"'"], "seed": 3, "costs": {"bytes": 5}}
TENSORS = {
    "b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a.b": np.array([1, 2], dtype=np.uint8),
    "c": np.zeros((0, 3)),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_tensors(tmp_path / "x.safetensors", TENSORS, ABOUT)
    return tmp_path / "x.safetensors"


def test_what_is_written_is_read(file: Path):
    tensors, about = read_sealed(file)
    assert about == ABOUT
    assert tensors.keys() == TENSORS.keys()
    for name, values in TENSORS.items():
        assert tensors[name].dtype == values.dtype
        assert np.array_equal(tensors[name], values)
    assert read_tensors(file, ABOUT).keys() == TENSORS.keys()
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_any_reader_of_safetensors_can_read_it(file: Path):
    assert np.array_equal(safetensors.numpy.load_file(file)["b"], TENSORS["b"])


def test_the_same_content_is_the_same_bytes(file: Path):
    other = file.with_name("y.safetensors")
    write_tensors(other, dict(reversed(TENSORS.items())), ABOUT)
    assert other.read_bytes() == file.read_bytes()


def test_a_file_about_something_else_is_not_used(file: Path):
    assert read_tensors(file, ABOUT | {"seed": 4}) is None
    assert read_tensors(file, {}) is None


def test_a_missing_file(tmp_path: Path):
    assert read_sealed(tmp_path / "x") is None
    (tmp_path / "f").touch()
    assert read_tensors(tmp_path / "f" / "x", {}) is None


def test_every_changed_or_missing_byte_is_noticed(file: Path):
    content = file.read_bytes()
    for place in range(len(content)):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert read_sealed(file) is None, place
        file.write_bytes(content[:place])
        assert read_sealed(file) is None, place
    file.write_bytes(content + b"0")
    assert read_sealed(file) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 40,
        safetensors.numpy.save({"a": np.zeros(2)}),
        safetensors.numpy.save({"a": np.zeros(2)}, metadata={"about": "["}),
        safetensors.numpy.save({"a": np.zeros(2)}, metadata={"about": "[]"}),
        safetensors.numpy.save({"a": np.zeros(2)}, metadata={"about": "{}"}),
        safetensors.numpy.save({"a": np.zeros(2)}, metadata={"about": '{"sha256": 3}'}),
        safetensors.numpy.save({"a": np.zeros(2)}, metadata={"about": '{"sha256": ""}'}),
    ],
)
def test_a_file_of_somebody_else_is_not_used(file: Path, content: bytes):
    file.write_bytes(content)
    assert read_sealed(file) is None


def test_a_folder_that_cannot_be_written(tmp_path: Path):
    with pytest.raises(StorageError):
        write_tensors(tmp_path / "missing" / "x", TENSORS, ABOUT)
