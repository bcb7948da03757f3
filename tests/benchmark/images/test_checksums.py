"""Checksums of blocks, whatever the length of the file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from benchmark.images.checksums import BLOCK, block_checksums, file_checksum


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 12_345])
def test_each_block_has_its_own(tmp_path: Path, size: int):
    content = (b"%16d" * (size // 16 + 1) % tuple(range(size // 16 + 1)))[:size]
    (tmp_path / "file").write_bytes(content)
    expected = [hashlib.sha256(content[first : first + BLOCK]).hexdigest() for first in range(0, size, BLOCK)]
    assert list(block_checksums(tmp_path / "file")) == expected
    assert file_checksum(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        block_checksums(tmp_path / "file")
