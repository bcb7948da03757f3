"""The origin of the numbers: the versions, commit and machine of each process that learned a run."""

from __future__ import annotations

import configparser
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from benchmark.machine.gpus import visible_gpus

_PACKAGES = ("continual-benchmark", "torch", "torchvision", "avalanche-lib", "numpy", "pillow", "safetensors")

# Because of these variables, git would look at another repository than the file's.
_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX")


def now() -> str:
    """The time, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def provenance(command: Sequence[str], device: str) -> dict[str, Any]:
    """A manifest's entries about this process; see `machine`."""
    return {
        "started": now(),
        "command": list(command),
        "commit": commit(Path(__file__).resolve().parents[2]),
        **machine(device),
    }


def machine(device: str) -> dict[str, Any]:
    """The versions and the hardware of this machine. It starts no CUDA context.

    Args:
        device: "cpu", "cuda" or "mps": where it learns. GPUs of CUDA are named only if it learns there, because asking
            takes time.

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
