"""The file with the small pictures of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.storage.json_files import sealed
from benchmark.storage.thumbnails import read_thumbnails, thumbnails_path, write_thumbnails

PICTURES = {2: {0: b"\xff\xd8", 7: b"\x00"}, 5: {3: b"more"}}


@pytest.mark.parametrize("pictures", [PICTURES, {}, {1: {}}])
def test_what_is_written_is_read(tmp_path: Path, pictures: dict[int, dict[int, bytes]]) -> None:
    write_thumbnails(tmp_path, pictures)
    assert read_thumbnails(tmp_path) == pictures


def test_the_newest_stand(tmp_path: Path) -> None:
    write_thumbnails(tmp_path, PICTURES)
    write_thumbnails(tmp_path, {5: {4: b"other"}})
    assert read_thumbnails(tmp_path) == {5: {4: b"other"}}


def test_missing_ones_are_none(tmp_path: Path) -> None:
    assert read_thumbnails(tmp_path) == {}
    assert read_thumbnails(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff\xd8",
        sealed('{"tasks": 3}'),
        sealed('{"tasks": [{"task": 1}]}'),
        sealed('{"tasks": [{"task": 1, "images": [0, 1], "jpeg": ["AAAA"]}]}'),
        sealed('{"tasks": [{"task": 1, "images": [0], "jpeg": ["\\"><script>"]}]}'),
    ],
)
def test_damaged_ones_are_none(tmp_path: Path, content: bytes) -> None:
    write_thumbnails(tmp_path, PICTURES)
    whole = thumbnails_path(tmp_path).read_bytes()
    for damaged in (content, whole[:-2], whole.replace(b'"task":5', b'"task":6')):
        thumbnails_path(tmp_path).write_bytes(damaged)
        assert read_thumbnails(tmp_path) == {}
