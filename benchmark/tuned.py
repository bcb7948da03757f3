"""The file that `tune` writes and `run --tuned` reads. This module imports nothing heavy."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from benchmark.files import write_atomically
from methods.errors import UserError


def read_tuned(path: Path, option: str) -> dict[str, Any]:
    """What `tune` has found out.

    Args:
        path: of the file.
        option: with which it was given, for messages.

    Returns:
        "settings", "stream" and "backbone" as in a manifest, and "methods", from each label to its "best"
        specification and how that was found.

    Raises:
        UserError: there is no such file, or `tune` did not write it.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{option}: there is no file {path}; `python -m benchmark tune` makes one") from None
    except OSError as error:
        raise UserError(f"{option}: {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{option}: {path} is damaged: {error}") from error
    if not _holds(content, "settings", "stream", "backbone", "methods") or not all(
        _holds(entry, "best", "accuracy", "default_accuracy", "trials") for entry in content["methods"].values()
    ):
        raise UserError(f"{option}: {path} is no file of `python -m benchmark tune`")
    return content


def _holds(content: Any, *keys: str) -> bool:
    return isinstance(content, dict) and set(keys) <= content.keys()


def write_tuned(path: Path, content: dict[str, Any]) -> None:
    """Write what `read_tuned` reads, whole.

    Raises:
        StorageError: it cannot be written.
    """
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())


def tuned_methods(labels: Sequence[str], path: Path) -> tuple[str, ...]:
    """The best specification of each of `labels`, from the file of --tuned.

    Raises:
        UserError: the file cannot be used, or lacks one of them.
    """
    content = read_tuned(path, "--tuned")
    found = content["methods"]
    missing = [label for label in labels if label not in found]
    if missing:
        same = [(f"--{key.replace('_', '-')}", str(v)) for key, v in content["settings"].items() if v is not None]
        command = shlex.join(["tune", "--methods", ",".join(missing), *chain(*same), "--out", str(path)])
        raise UserError(f"--tuned: {path} has no '{missing[0]}'; tune it with: python -m benchmark {command}")
    return tuple(found[label]["best"] for label in labels)
