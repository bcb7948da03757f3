"""Small pictures of some test images of a run, kept once for all its cells: without the stream there are no images."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from benchmark.files import write_atomically, writing
from benchmark.storage.json_files import misfit, sealed, unsealed
from benchmark.storage.labels import LABELS

#: Number of a task in the stream, from 1 -> place among its test images, from 0 -> the content of a JPEG file.
Thumbnails: TypeAlias = Mapping[int, Mapping[int, bytes]]

_SHAPE = {"tasks": [{"task": int, "images": [int], "jpeg": [str]}]}


def thumbnails_path(run: Path) -> Path:
    """The file with the thumbnails of a run."""
    return run / LABELS / "thumbnails.json"


def write_thumbnails(run: Path, thumbnails: Thumbnails) -> None:
    """Write the thumbnails of a run, in place of those that were there.

    Raises:
        StorageError: the file cannot be written.
    """
    tasks = [
        {"task": task, "images": [*own], "jpeg": [base64.b64encode(jpeg).decode("ascii") for jpeg in own.values()]}
        for task, own in thumbnails.items()
    ]
    path = thumbnails_path(run)
    with writing(run):
        path.parent.mkdir(exist_ok=True)
    write_atomically(path, sealed(json.dumps({"tasks": tasks}, separators=(",", ":"))))


def read_thumbnails(run: Path) -> Thumbnails:
    """The thumbnails of a run; nothing if they are missing, as in the folder of an earlier version, or damaged."""
    try:
        content = unsealed(thumbnails_path(run).read_bytes())
    except OSError:
        return {}
    if content is None or content.keys() != _SHAPE.keys() or misfit(content, _SHAPE) is not None:
        return {}
    try:
        return {
            own["task"]: dict(zip(own["images"], map(_decoded, own["jpeg"]), strict=True)) for own in content["tasks"]
        }
    except (KeyError, ValueError):
        return {}


def _decoded(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
