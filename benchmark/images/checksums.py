"""Checksums of large files, computed on all cores."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmark.machine.limits import usable_cores

#: Bytes of a block. Each block has its own checksum.
BLOCK = 4 << 20
# Bytes that are read at once: few enough to stay in a core's cache.
_PIECE = 256 << 10
# The most threads. Each has the file open, and more would only wait for RAM.
_MOST_THREADS = 16


def block_checksums(path: Path) -> tuple[str, ...]:
    """SHA-256 of each block of a file; the last block may be shorter.

    Raises:
        OSError: the file cannot be read.
    """
    starts = range(0, path.stat().st_size, BLOCK)
    checksum = partial(_block_checksum, path)
    if len(starts) < 2:
        return tuple(map(checksum, starts))
    # Python lets other threads run while a piece is read or hashed.
    with ThreadPoolExecutor(min(usable_cores(), len(starts), _MOST_THREADS)) as threads:
        return tuple(threads.map(checksum, starts))


def file_checksum(path: Path) -> str:
    """SHA-256 of a file as a whole.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _block_checksum(path: Path, start: int) -> str:
    digest = hashlib.sha256()
    for piece in _pieces(path, start):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(path: Path, start: int) -> Iterator[memoryview]:
    """The bytes of a block, piece by piece, in one buffer that is reused."""
    buffer = memoryview(bytearray(_PIECE))
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        left = BLOCK
        while left and (count := file.readinto(buffer[:left])):
            left -= count
            yield buffer[:count]
