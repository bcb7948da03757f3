"""Finds the runs that reproduced something."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from benchmark.files import MANIFEST
from benchmark.storage.json_files import read_json


def reproduced_in(folder: Path) -> dict[str, list[Path]]:
    """Protocol -> the folders of its runs among those in `folder`; the one above them, if it has parts.

    Args:
        folder: of runs; need not exist.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(chain(folder.glob(f"*/{MANIFEST}"), folder.glob(f"*/*/{MANIFEST}"))):
        try:
            reproduces = read_json(path).get("reproduces") or {}
            name, part = reproduces["protocol"], reproduces["part"]
        # Whatever else lies there is no run that reproduced something.
        except (OSError, ValueError, AttributeError, KeyError, TypeError):
            continue
        run = path.parent.parent if part else path.parent
        if run not in found.setdefault(name, []):
            found[name].append(run)
    return found
