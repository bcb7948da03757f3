"""Records tell whether they are whole: one that was changed anywhere does not count."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.storage.records import read_record, record_path, write_record

RECORD = {"learned": 2, "losses": [0.5, 1 / 3], "evaluated": [{"task": 1, "accuracy": 0.875}], "checksums": {}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = record_path(tmp_path, 2)
    write_record(path, RECORD)
    return path


def test_what_is_written_is_read_and_is_json(path: Path):
    assert path.name == "after-2.json"
    assert read_record(path) == RECORD
    content = json.loads(path.read_bytes())
    assert len(content.pop("sha256")) == 64
    assert content == RECORD


def test_a_bit_that_flips_anywhere_is_noticed(path: Path):
    whole = path.read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        # In the name of the checksum itself it does no harm.
        assert (record := read_record(path)) is None or RECORD.items() <= record.items()


def test_a_part_is_none(path: Path):
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert read_record(path) is None


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"null",
        b"\xff\xfe",
        b"gASVBQAAAA==",
        b"[" * 100_000,
        b'{"learned": "2", "checksums": {}}',
        b'{"learned": 2, "checksums": []}',
        b'{"learned": 2, "checksums": {}, "evaluated": [1]}',
    ],
)
def test_what_is_no_record_is_none(path: Path, content: bytes):
    path.write_bytes(content)
    assert read_record(path) is None


def test_one_that_is_not_there_is_none(tmp_path: Path):
    assert read_record(tmp_path / "after-1.json") is None


def test_those_of_older_versions_are_read(path: Path):
    path.write_text(json.dumps(RECORD, indent=1))
    assert read_record(path) == RECORD
