"""The processes that worked on a run, as its manifest lists them, and in what they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# The entries of a process that are also in the manifest of a run that it begins.
_COMMON = ("started", "command", "versions", "commit", "hardware")

# The entries that can make numbers or seconds differ.
_COMPARED = ("device", "tf32", "versions", "commit", "hardware")

# The entries that can make seconds differ.
_TIMED = ("device", "hardware", "gpus_per_cell")

# What a process on the CPU does not use.
_OF_GPUS = ("versions.cuda", "versions.cudnn", "hardware.gpus", "hardware.driver")

Process = dict[str, Any]


def new_process(manifest: Mapping[str, Any], device: str, precision: str) -> Process:
    """This process's entry in the list of those that work on a run.

    Args:
        manifest: the manifest of a run that would begin now.
        device: "cpu", "cuda" or "mps": where it learns.
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
    # What a later process added to the run, the one before it did not leave.
    after = [each and each - entry.get("tasks_added", 0) for entry, each in zip(entries[1:], left[1:], strict=True)]
    # It is not known for a process of an older version.
    return [
        entry
        for entry, before, then in zip(entries, left, [*after, 0], strict=True)
        if before is None or before not in (0, then)
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
    """Whether a run's tables show seconds.

    They do if the user asked, or if its cells ran one after the other, as far as is known. Those of a kept run, whose
    readers do not know what else its machine did, only if the user asked.
    """
    if manifest.get("show_seconds"):
        return True
    return not manifest.get("kept") and all(entry.get("workers", 1) == 1 for entry in learning_processes(manifest))


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


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            # A cell has one GPU: how many there are of a model changes neither its numbers nor its seconds.
            yield f"{prefix}{key}", "+".join(dict.fromkeys(map(str, value))) or "none"
        else:
            yield f"{prefix}{key}", "none" if value is None else str(value)
