"""The origin of the numbers: the versions, commit and machine of each process that learned a run."""

from __future__ import annotations

import configparser
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

_PACKAGES = ("continual-benchmark", "torch", "torchvision", "avalanche-lib", "numpy", "pillow", "safetensors")

# The entries of a process that are also in the manifest of a run that it begins.
_COMMON = ("started", "command", "versions", "commit", "hardware")

# The entries that can make numbers or seconds differ.
_COMPARED = ("device", "versions", "commit", "hardware")

# Because of these variables, git would look at another repository than the file's.
_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX")

Process = dict[str, Any]


def now() -> str:
    """The time, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def provenance(command: Sequence[str]) -> dict[str, Any]:
    """A manifest's entries about this process."""
    return {
        "started": now(),
        "command": list(command),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "commit": commit(Path(__file__).resolve().parents[1]),
        "hardware": _hardware(),
    }


def new_process(manifest: Mapping[str, Any], device: torch.device) -> Process:
    """This process's entry in the list of those that work on a run.

    Args:
        manifest: the manifest of a run that would begin now.
        device: the device that it learns on.
    """
    return {**{key: manifest[key] for key in _COMMON}, "device": device.type}


def processes(manifest: Mapping[str, Any]) -> list[Process]:
    """All processes that worked on a run, in order; for a run of an older version only the first is known."""
    return manifest.get("processes") or [{key: manifest[key] for key in _COMMON if key in manifest}]


def learning_processes(manifest: Mapping[str, Any]) -> list[Process]:
    """The processes that learned at least one task."""
    entries = processes(manifest)
    if "runs" in manifest:
        # In a comparison, they come from several runs.
        return entries
    left = [entry.get("tasks_left") for entry in entries]
    # It is not known for a process of an older version.
    return [
        entry
        for entry, before, after in zip(entries, left, [*left[1:], 0], strict=True)
        if before is None or before not in (0, after)
    ]


def comparable_seconds(entries: Sequence[Process]) -> bool:
    """Whether processes computed on the same hardware, if that is known."""
    return not {"device", "hardware"} & {name.partition(".")[0] for name in differences(entries)}


def shows_seconds(manifest: Mapping[str, Any]) -> bool:
    """Whether a run's tables show seconds: its cells ran one after the other, as far as is known, or the user asked."""
    return bool(manifest.get("show_seconds")) or all(
        entry.get("workers", 1) == 1 for entry in learning_processes(manifest)
    )


def differences(entries: Sequence[Process]) -> dict[str, list[str]]:
    """How processes differ: "hardware.threads" -> the values that occur, in the order of the processes."""
    found = [dict(_flat({key: entry[key] for key in _COMPARED if key in entry})) for entry in entries]
    names = dict.fromkeys(name for values in found for name in values)
    values = {name: list(dict.fromkeys(each[name] for each in found if name in each)) for name in names}
    return {name: listed for name, listed in values.items() if len(listed) > 1}


def changes(before: Sequence[Process], process: Process) -> dict[str, tuple[list[str], str]]:
    """In what a process is like none of those before: "hardware.threads" -> (their values, its own)."""
    differing = differences(before)
    found = {}
    for name, values in differences([*before, process]).items():
        own = dict(_flat({key: process[key] for key in _COMPARED if key in process})).get(name)
        others = differing.get(name) or [value for value in values if value != own]
        if own is not None and own not in others:
            found[name] = others, own
    return found


def difference_note(manifest: Mapping[str, Any]) -> str:
    """A sentence that says how the processes that learned a run differ; empty if they are alike."""
    learned = learning_processes(manifest)
    differing = differences(learned)
    if not differing:
        return ""
    listed = "; ".join(f"{name}: {', '.join(values)}" for name, values in differing.items())
    return f"Learned by {len(learned)} processes that differ ({listed}). `processes` in manifest.json lists them."


def commit(root: Path) -> str | None:
    """The commit of this project's own checkout, with a mark if files differ from it.

    Args:
        root: the folder that holds the package `benchmark`.

    Returns:
        None if `root` is not a checkout of this project. A repository around it, for example around a virtual
        environment, does not count.
    """
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or not root.samefile(top) or not _is_this_project(root / "setup.cfg"):
        return None
    if _git(root, "ls-files", "--error-unmatch", "setup.cfg", "benchmark/__init__.py") is None:
        return None
    return _git(root, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _is_this_project(setup: Path) -> bool:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(setup, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError, OSError):
        return False
    return parser.get("metadata", "name", fallback="") == _PACKAGES[0]


def _git(folder: Path, *arguments: str) -> str | None:
    """What git answers; None if there is no git, or it refuses."""
    environment = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    try:
        result = subprocess.run(["git", *arguments], cwd=folder, env=environment, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return os.fsdecode(result.stdout).removesuffix("\n")


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield f"{prefix}{key}", "+".join(map(str, value)) or "none"
        else:
            yield f"{prefix}{key}", "none" if value is None else str(value)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _hardware() -> dict[str, Any]:
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "system": platform.platform(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
