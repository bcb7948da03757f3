"""The origin of the numbers: the versions, commit and machine of each process that learned a run."""

from __future__ import annotations

import configparser
import os
import platform
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from benchmark.gpus.visible import visible_gpus

_PACKAGES = ("continual-benchmark", "torch", "torchvision", "avalanche-lib", "numpy", "pillow", "safetensors")

# The entries of a process that are also in the manifest of a run that it begins.
_COMMON = ("started", "command", "versions", "commit", "hardware")

# The entries that can make numbers or seconds differ.
_COMPARED = ("device", "tf32", "versions", "commit", "hardware")

# The entries that can make seconds differ.
_TIMED = ("device", "hardware", "gpus_per_cell")

# What a process on the CPU does not use.
_OF_GPUS = ("versions.cuda", "versions.cudnn", "hardware.gpus", "hardware.driver")

# Because of these variables, git would look at another repository than the file's.
_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX")

Process = dict[str, Any]


def now() -> str:
    """The time, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def provenance(command: Sequence[str], device: str) -> dict[str, Any]:
    """A manifest's entries about this process; see `machine`."""
    return {
        "started": now(),
        "command": list(command),
        "commit": commit(Path(__file__).resolve().parents[1]),
        **machine(device),
    }


def machine(device: str) -> dict[str, Any]:
    """The versions and the hardware of this machine. It starts no CUDA context.

    Args:
        device: "cpu" or "cuda": where it learns. Its GPUs are named only if it learns there, because asking takes time.

    Raises:
        UserError: CUDA does not work here.
    """
    gpus = [gpu.name for gpu in visible_gpus()] if device == "cuda" else []
    return {"versions": _versions(), "hardware": {**_hardware(), "gpus": gpus}}


def several(machines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Several machines as one: what they do not have in common becomes a list, and their GPUs are in one list.

    Args:
        machines: as `machine` describes each.
    """
    parts = {part: [each[part] for each in machines] for part in ("versions", "hardware")}
    united = {
        part: {name: _united([each.get(name) for each in found]) for name in found[0]} for part, found in parts.items()
    }
    united["hardware"]["gpus"] = [gpu for each in parts["hardware"] for gpu in each["gpus"]]
    return united


def _united(values: Sequence[Any]) -> Any:
    different = [value for number, value in enumerate(values) if value not in values[:number]]
    return different[0] if len(different) == 1 else different


def new_process(manifest: Mapping[str, Any], device: str, precision: str) -> Process:
    """This process's entry in the list of those that work on a run.

    Args:
        manifest: the manifest of a run that would begin now.
        device: "cpu" or "cuda": where it learns.
        precision: the value of --precision.
    """
    return {
        **{key: manifest[key] for key in _COMMON},
        "device": device,
        "tf32": device == "cuda" and precision == "tf32",
    }


def processes(manifest: Mapping[str, Any]) -> list[Process]:
    """All processes that worked on a run, in order; for a run of an older version only the first is known."""
    return manifest.get("processes") or [{key: manifest[key] for key in _COMMON if key in manifest}]


def learning_processes(manifest: Mapping[str, Any]) -> list[Process]:
    """The processes that learned at least one task."""
    entries = processes(manifest)
    if "runs" in manifest:
        # In a comparison, they come from several runs.
        return entries
    if "settings" in manifest:
        entries = [_as_now(entry, manifest["settings"]) for entry in entries]
    left = [entry.get("tasks_left") for entry in entries]
    # It is not known for a process of an older version.
    return [
        entry
        for entry, before, after in zip(entries, left, [*left[1:], 0], strict=True)
        if before is None or before not in (0, after)
    ]


def _as_now(entry: Process, settings: Mapping[str, Any]) -> Process:
    """A process of an older version with what follows from the rest: its device, and whether it used TF32.

    Args:
        entry: the process; one of this version is returned itself.
        settings: those of its run.
    """
    if "tf32" in entry:
        return entry
    asked, gpus = settings.get("device", "auto"), entry.get("hardware", {}).get("gpus")
    device = entry.get("device") or (asked if asked != "auto" else None)
    if device is None and gpus is not None:
        device = "cuda" if gpus else "cpu"
    if device is None:
        return entry
    # Older versions left the precision of convolutions to torch, which uses TF32 on a GPU.
    return {**entry, "device": device, "tf32": device == "cuda" and settings.get("precision", "fp32") == "fp32"}


def comparable_seconds(entries: Sequence[Process]) -> bool:
    """Whether processes computed on the same hardware, as far as that is known, and each on hardware of one kind."""
    if differences(entries, _TIMED) or any(map(_mixed, entries)):
        return False
    # A device that is not known may be a GPU or the CPU.
    return len({"device" in entry for entry in entries}) <= 1


def shows_seconds(manifest: Mapping[str, Any]) -> bool:
    """Whether a run's tables show seconds: its cells ran one after the other, as far as is known, or the user asked."""
    return bool(manifest.get("show_seconds")) or all(
        entry.get("workers", 1) == 1 for entry in learning_processes(manifest)
    )


def _mixed(entry: Process) -> bool:
    """Whether machines, or GPUs, of different kinds may have learned the cells of one process."""
    lists = {f"hardware.{name}": value for name, value in entry.get("hardware", {}).items() if isinstance(value, list)}
    return entry.get("workers", 1) > 1 and any(
        len(set(value)) > 1 for name, value in lists.items() if _counts(name, entry)
    )


def _counts(name: str, entry: Process) -> bool:
    """Whether a fact can change what a process computes: on the CPU, those of GPUs cannot."""
    return entry.get("device") != "cpu" or name not in _OF_GPUS


def differences(entries: Sequence[Process], keys: Sequence[str] = _COMPARED) -> dict[str, list[str]]:
    """How processes differ: "hardware.threads" -> the values that occur, in the order of the processes.

    Args:
        entries: the processes.
        keys: which of their entries to compare.
    """
    found = [_facts(entry, keys) for entry in entries]
    names = dict.fromkeys(name for values in found for name in values)
    values = {name: list(dict.fromkeys(each[name] for each in found if name in each)) for name in names}
    return {name: listed for name, listed in values.items() if len(listed) > 1}


def _facts(entry: Process, keys: Sequence[str] = _COMPARED) -> dict[str, str]:
    """The facts of a process, as "hardware.threads" -> its value as text."""
    flat = _flat({key: entry[key] for key in keys if key in entry})
    return {name: value for name, value in flat if _counts(name, entry)}


def changes(before: Sequence[Process], process: Process) -> dict[str, tuple[list[str], str]]:
    """In what a process is like none of those before: "hardware.threads" -> (their values, its own)."""
    differing = differences(before)
    found = {}
    for name, values in differences([*before, process]).items():
        own = _facts(process).get(name)
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
            # A cell has one GPU: how many there are of a model changes neither its numbers nor its seconds.
            yield f"{prefix}{key}", "+".join(dict.fromkeys(map(str, value))) or "none"
        else:
            yield f"{prefix}{key}", "none" if value is None else str(value)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _versions() -> dict[str, str | None]:
    packages = {name: _version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **packages, "cuda": torch.version.cuda, "cudnn": _cudnn()}


def _cudnn() -> str | None:
    # torch.backends.cudnn.version() would also check the GPUs, which starts a CUDA context.
    library = getattr(torch._C, "_cudnn", None)
    return ".".join(map(str, library.getRuntimeVersion())) if library else None


def _hardware() -> dict[str, Any]:
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "driver": _driver(),
        "system": platform.platform(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _driver() -> str | None:
    """The version of NVIDIA's driver, which only Linux tells; None if there is none."""
    try:
        text = Path("/proc/driver/nvidia/version").read_text()
    except OSError:
        return None
    found = re.search(r"NVRM version:.*?\s(\d+(\.\d+)+)\s", text)
    return found and found[1]
