"""The file that `tune` writes and `run --tuned` reads. This module imports nothing heavy."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from benchmark.files import write_atomically
from benchmark.storage.json_files import misfit, parse_json
from methods.errors import UserError
from methods.options import Spec, join_specs, parse_spec

_TUNED = {"settings": dict, "stream": {"tasks": dict}, "backbone": {"fingerprint": str}, "methods": dict}
_ENTRY = {"trials": list}
_TRIAL = {"params": dict, "value": float, "diverged": bool}
# Older versions did not write these.
_NEWER = {"unfinished": {}, "left_out": [str], "settings": {"seeds": [int]}}
_NEWER_TRIAL = {"accuracies": [float]}
#: How `tune` trains, if its file does not say it.
_ALWAYS: dict[str, Any] = {
    "scenario": "task",
    "augment": [],
    "precision": "fp32",
    "equal_memory": None,
    "equal_compute": None,
}

# The options of the training that `tune` and `run` share.
_RECIPE = ("epochs", "batch_size", *_ALWAYS)
# The options that the images depend on, beside the stream.
_IMAGES = ("image_size", "resize", "grey_range", "train_images", "validation")


@dataclass(frozen=True)
class Tuned:
    """The file of --tuned, as a run has read it.

    Attributes:
        path: as the user typed it.
        sha256: the file's checksum.
        content: see `read_tuned`.
        labels: the requested methods.
        left_out: methods of requested groups that could not be used on the backbone of the tuning.
    """

    path: Path
    sha256: str
    content: dict[str, Any]
    labels: tuple[Spec, ...]
    left_out: tuple[Spec, ...] = ()

    @property
    def specifications(self) -> tuple[Spec, ...]:
        """The best specification of each of the methods."""
        found = self.content["methods"]
        return tuple(parse_spec(found[label]["best"]).of_group(label.group) for label in self.labels)

    def origin(self, run: Mapping[str, Any], images: Mapping[str, str]) -> dict[str, Any]:
        """The origin of the methods' options, for the manifest.

        Args:
            run: the manifest's settings, stream and backbone.
            images: task -> `Task.training_fingerprint`, in the run.
        """
        found = self.content["methods"]
        return {
            "file": str(self.path),
            "sha256": self.sha256,
            "settings": self.content["settings"],
            "stream": {key: value for key, value in self.content["stream"].items() if key != "tasks"},
            "backbone": self.content["backbone"],
            "differences": self.differences(run, images),
            "methods": {
                found[label]["best"]: {
                    "tuned_as": label,
                    "accuracy": found[label]["accuracy"],
                    "trials": len(found[label]["trials"]),
                }
                for label in self.labels
                # Not those that cannot be used on the run's backbone.
                if found[label]["best"] in run["settings"]["methods"]
            },
        }

    def seeds_again(self, seeds: Sequence[int]) -> list[int]:
        """Those of a run's seeds with which the options were chosen."""
        return [seed for seed in seeds if seed in self.content["settings"].get("seeds", ())]

    def differences(self, run: Mapping[str, Any], images: Mapping[str, str]) -> list[str]:
        """How the run differs from the tuning of its methods; arguments as in `origin`."""
        there, here = _ALWAYS | self.content["settings"], _ALWAYS | run["settings"]
        stream, backbone = self.content["stream"], self.content["backbone"]
        result = []
        known = {name: value for name, value in stream.get("tasks", {}).items() if name in images}
        changed = [name for name, value in known.items() if images[name] != value]
        # The same images are the same stream, even under another name.
        if changed or not known:
            named = [_difference(key, there, here) for key in ("stream", *_IMAGES)]
            result += list(filter(None, named)) or [f"other images or labels in task '{name}'" for name in changed[:1]]
        if backbone.get("fingerprint", "") not in ("", run["backbone"]["fingerprint"]):
            result.append(_difference("backbone", there, here) or f"other weights of the backbone {here['backbone']}")
        return result + list(filter(None, (_difference(key, there, here) for key in _RECIPE)))


def _difference(key: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """An option's two values, if the file and the run differ."""
    if key not in there or there[key] == here[key]:
        return ""
    return f"--{key.replace('_', '-')} {_shown(here[key])} instead of {_shown(there[key])}"


def _typed(value: Any) -> str:
    """A setting as the command line takes it. A comma behind a single seed says that it is not their number."""
    if not isinstance(value, list):
        return str(value)
    return f"{value[0]}," if len(value) == 1 else ",".join(map(str, value))


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "(none)"
    return "(default)" if value is None else str(value)


def read_tuned(path: Path, option: str) -> dict[str, Any]:
    """The content of a file of `tune`.

    Args:
        path: of the file.
        option: the option that gave it, for messages.

    Returns:
        "settings", "stream" and "backbone" as in a manifest; "methods": each label's "best" specification and how
        it was found; "unfinished": the trials of methods that are not done; "left_out": the methods of groups that
        cannot be used on the backbone. Older versions did not write these two.

    Raises:
        UserError: the file does not exist, or `tune` did not write it.
    """
    return _parsed(_content(path, option), path, option)


def _content(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{option}: there is no file {path}; `python -m benchmark tune` makes one") from None
    except OSError as error:
        raise UserError(f"{option}: {path} cannot be read: {error.strerror}") from error


def _parsed(text: bytes, path: Path, option: str) -> dict[str, Any]:
    try:
        content = parse_json(text)
    except ValueError as error:
        raise UserError(f"{option}: {path} is damaged: {error}") from error
    if not _holds(content, *_TUNED) or misfit(content, _TUNED | _NEWER) is not None:
        raise UserError(f"{option}: {path} is no file of `python -m benchmark tune`")
    for trials in content.get("unfinished", {}).values():
        if misfit(trials, [_TRIAL | _NEWER_TRIAL]) is not None or not all(_holds(t, *_TRIAL) for t in trials):
            raise UserError(f"{option}: {path} is no file of `python -m benchmark tune`")
    # Older versions had one seed.
    if "seed" in content["settings"]:
        content["settings"]["seeds"] = [content["settings"].pop("seed")]
    for label, entry in content["methods"].items():
        if not _holds(entry, "best", "accuracy", "default_accuracy", "trials") or misfit(entry, _ENTRY) is not None:
            raise UserError(f"{option}: {path} is no file of `python -m benchmark tune`")
        # Only options may follow the label.
        if not f"{entry['best']}:".startswith(f"{label}:"):
            raise UserError(
                f"{option}: {path} is damaged: the best of '{label}' is {entry['best']!r}, which is not that method "
                "with options added; tune it again"
            )
    return content


def _holds(content: Any, *keys: str) -> bool:
    return isinstance(content, dict) and set(keys) <= content.keys()


def write_tuned(path: Path, content: dict[str, Any]) -> None:
    """Write a file for `read_tuned`, atomically.

    Raises:
        StorageError: it cannot be written.
    """
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())


def tuned_methods(asked: Sequence[str], path: Path) -> Tuned:
    """The best specification of each method that was asked for, from the file of --tuned.

    Methods that the tuning left out of a group are left out here too.

    Raises:
        UserError: the file cannot be used, or lacks one of them.
    """
    text = _content(path, "--tuned")
    content = _parsed(text, path, "--tuned")
    labels, known = tuple(map(parse_spec, asked)), content.get("left_out", ())
    left_out = tuple(label for label in labels if label.group and label not in content["methods"] and label in known)
    labels = tuple(label for label in labels if label not in left_out)
    missing = [label for label in labels if label not in content["methods"]]
    if missing:
        given = {key: value for key, value in content["settings"].items() if value is not None}
        same = [(f"--{key.replace('_', '-')}", _typed(value)) for key, value in given.items()]
        command = shlex.join(["tune", "--methods", join_specs(missing), *chain(*same), "--out", str(path)])
        raise UserError(f"--tuned: {path} has no '{missing[0]}'; tune it with: python -m benchmark {command}")
    return Tuned(path, hashlib.sha256(text).hexdigest(), content, labels, left_out)
