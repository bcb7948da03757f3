"""Checks whether this process can resume a run, and how it differs from earlier processes of the run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.files import reading
from benchmark.storage.manifest import Manifest
from benchmark.storage.processes import Process, changes, learning_processes, processes
from methods.errors import UserError


def fingerprints(plugins: Sequence[str]) -> list[dict[str, str]]:
    """Return the plugin files and the hashes of their contents, for the manifest.

    Raises:
        StorageError: a file cannot be read.
    """
    entries = []
    for path in plugins:
        with reading(Path(path)):
            entries.append({"file": path, "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()})
    return entries


def resumed(old: Manifest, new: Manifest, process: Process) -> Manifest:
    """Return the manifest of a run that this process resumes.

    Args:
        old, new: the run's manifest, and the manifest of a run that would begin now.
    """
    # Manifests of older versions may lack these keys.
    missing = {key: new[key] for key in ("id", "plugins")}
    made_again = {key: new[key] for key in ("backbone", "bounds", "reproduces") if key in new}
    return Manifest({**missing, **old, "finished": None, "processes": [*processes(old), process], **made_again})


def check_plugins(old: dict[str, Any], new: dict[str, Any], name: str) -> None:
    """Refuse to resume with plugin files that have changed.

    Args:
        old, new: manifests.
        name: the run's name.

    Raises:
        UserError: a file has changed; the message names it.
    """
    known = {entry["sha256"] for entry in old.get("plugins", [])}
    names = {Path(entry["file"]).name for entry in old.get("plugins", []) if entry["sha256"] not in _contents(new)}
    for entry in new["plugins"]:
        if entry["sha256"] not in known and Path(entry["file"]).name in names:
            raise UserError(
                f"--name {name}: that run exists, but --plugin {entry['file']} has changed since; restore the file, or "
                "give another --name"
            )


def check_device(old: dict[str, Any], process: Process, asked: str, name: str) -> None:
    """Refuse to resume on another device, which gives other numbers, unless the user named this device.

    Args:
        old: the manifest of the run, with this process as the last one.
        process: this process, which has tasks to learn.
        asked: the value of --device.
        name: the run's name.

    Raises:
        UserError: no earlier process of the run had this device, and --device is "auto".
    """
    before = {each["device"] for each in _others(old, process) if "device" in each}
    if asked == "auto" and before and process["device"] not in before:
        raise UserError(
            f"--name {name}: that run was learned with --device {' and '.join(sorted(before))}, and --device auto "
            f"means {process['device']} here; add --device {process['device']} to go on with it all the same, or give "
            "another --name"
        )


def difference_warning(manifest: dict[str, Any], process: Process, name: str) -> str:
    """Return one line about how this process differs from those that learned the run; empty if it does not."""
    differing = changes(_others(manifest, process), process)
    listed = "; ".join(f"{key}: {', '.join(before)}, now {now}" for key, (before, now) in differing.items())
    return listed and (
        f"--name {name}: what is learned now may differ from what it would be where the run began ({listed})"
    )


def _others(manifest: dict[str, Any], process: Process) -> list[Process]:
    return [each for each in learning_processes(manifest) if each is not process]


def _contents(manifest: dict[str, Any]) -> set[str]:
    return {entry["sha256"] for entry in manifest["plugins"]}
