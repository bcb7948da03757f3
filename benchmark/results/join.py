"""Runs on the same stream, joined in one folder with the files of a run: this is what `compare` does.

Measurements are copied and states are not: a comparison can be reported again without the original runs, but it
cannot go on. The first run is the reference: labels say how others were trained differently.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from benchmark.config import setting_of
from benchmark.files import folder_name, writing
from benchmark.results.questions import Asked, asked, rule_of
from benchmark.results.reference import check_reference
from benchmark.storage.answers import answers_path
from benchmark.storage.folder import RunFolder
from benchmark.storage.inferred import inferred_path
from benchmark.storage.labels import read_labels, write_labels
from benchmark.storage.lock import building
from benchmark.storage.manifest import DIVERGED, FAILED, INCOMPLETE, SUCCEEDED, Entry, Manifest
from benchmark.storage.processes import comparable_seconds, learning_processes, shows_seconds
from benchmark.storage.records import CellKey, read_records, record_path
from benchmark.storage.thumbnails import read_thumbnails, write_thumbnails
from methods.errors import UserError

# Settings that are united, or that the fingerprints compare, or that do not change the training.
_NOT_IN_LABELS = {
    *("methods", "seeds", "orders", "device", "infer"),
    *("stream", "backbone", "tasks", "image_size", "resize", "grey_range"),
    *("train_images", "test_images", "validation"),
}

# The manifest's entries that are joined; the others are kept separately for each run.
_JOINED = {
    *("stream", "backbone", "tasks", "orders", "seeds", "cells", "processes"),
    *("reference", "bounds", "methods", "learned_as"),
}

_TASK_FACTS = {
    "task_name": "the name",
    "classes": "the number of classes",
    "train_images": "the number of training images",
    "validation_images": "the number of validation images",
    "test_images": "the number of test images",
    "image_size": "the image size",
    "fingerprint": "the fingerprint of the images and labels",
}


@dataclass(frozen=True)
class Source:
    """A run to be compared: its name for a reader, its folder, and its manifest."""

    name: str
    folder: RunFolder
    manifest: Manifest


@dataclass(frozen=True)
class SourceCell:
    """A cell of a run: its entry in the manifest, and its measurements."""

    source: Source
    entry: Entry

    @property
    def folder(self) -> Path:
        return self.source.folder.cell(self.entry["method"], self.entry["seed"], self.entry["order"])

    @property
    def asked(self) -> Asked:
        """What its run asked its method."""
        return asked(self.source.manifest, self.entry["method"])

    def same_outcome(self, other: SourceCell) -> bool:
        """Whether another cell ended in the same way, with the same accuracies."""
        return self._outcome() == other._outcome()

    def _outcome(self) -> tuple[str, list[tuple[int, float]]]:
        records = read_records(self.folder)
        return self.entry["status"], [(e["task"], e["accuracy"]) for record in records for e in record["evaluated"]]


@contextmanager
def joined(paths: Sequence[Path], folder: Path, argv: list[str], reference: str | None = None) -> Iterator[RunFolder]:
    """A comparison with its manifest and records, for a block that makes its report; then it is put at `folder`.

    Args:
        paths: of the runs' folders.
        folder: of the comparison.
        argv: the command line, for the manifest.
        reference: the label, in the comparison, of the method that the others are compared with, or "all"; None for
            that of the first run.

    Raises:
        UserError: the runs cannot be compared, or the folder cannot be used.
    """
    sources = read_sources(paths)
    check_comparable(sources)
    cells = join(sources)
    check_reference(reference, list(dict.fromkeys(label for label, _, _ in cells)))
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"--name {folder.name}: there is something in {folder} already; give another --name")
    manifest = joined_manifest(sources, cells, argv)
    manifest["reference"] = reference or manifest["reference"]
    # The page is made before the folder has its name.
    manifest["name"] = folder.name
    with building(folder) as partial:
        run = RunFolder(partial)
        with writing(folder):
            for key, cell in cells.items():
                _copy_records(cell.folder, run.cell(*key))
            _copy_labels(sources, run)
            _copy_thumbnails(sources, run)
        run.write_manifest(manifest)
        yield run


def read_sources(paths: Sequence[Path]) -> list[Source]:
    """The runs, named after their folders, or as the user typed them if these names are equal.

    Raises:
        UserError: there is only one, one is given twice, one is not a run, or one has lost its measurements.
    """
    if len(paths) < 2:
        raise UserError(f"compare: {paths[0]} alone has nothing to be compared with; give two runs or more")
    places = [path.resolve() for path in paths]
    for k, path in enumerate(paths):
        if places[k] in places[:k]:
            raise UserError(f"compare: {path} is given twice; give each run once")
    names = [place.name for place in places]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    folders = [RunFolder(path) for path in paths]
    manifests = [folder.read_manifest() for folder in folders]
    sources = [Source(*parts) for parts in zip(names, folders, manifests, strict=True)]
    for source in sources:
        source.folder.check_cells(source.manifest)
    return sources


def check_comparable(sources: Sequence[Source]) -> None:
    """Refuse runs whose accuracies, or costs relative to the backbone, have different meanings.

    Raises:
        UserError: names the first difference.
    """
    for one, other in combinations(sources, 2):
        # If two runs have different numbers of tasks, this is the first difference.
        for (what, a, shown_a), (_, b, shown_b) in zip(_facts(one.manifest), _facts(other.manifest), strict=False):
            if a != b:
                raise UserError(
                    f"compare: {what} is {shown_a} in {one.name} and {shown_b} in {other.name}; "
                    "only runs on the same stream and backbone can be compared"
                )


def _facts(manifest: Manifest) -> Iterator[tuple[str, Any, Any]]:
    """What comparable runs have in common, the simplest first: name, value, and value for a reader.

    Orders come last, because runs may have different numbers of orders.
    """
    tasks = manifest.tasks
    yield "the number of tasks", len(tasks), len(tasks)
    for task in tasks:
        for key, what in _TASK_FACTS.items():
            named = f" ({task['task_name']})" if key != "task_name" else ""
            yield f"{what} of task {task['task']}{named}", task[key], str(task[key])[:40]
    backbone = manifest.backbone
    yield "the backbone", backbone["fingerprint"], f"{backbone['spec']} ({backbone['fingerprint'][:12]})"
    for k, order in enumerate(manifest.orders):
        yield f"order {k} of the tasks", order, ",".join(map(str, order))


def join(sources: Sequence[Source]) -> dict[CellKey, SourceCell]:
    """The cells of all runs under their labels in the comparison: by method in order of appearance, seed and order.

    A cell that two runs have with the same outcome appears once. If the outcomes differ, the later run gets a row of
    its own for that method, with the run's name in its label. So does a method whose answers are inferred by another
    rule; there the label has the rule.

    Raises:
        UserError: two labels would share a folder.
    """
    joined: dict[CellKey, SourceCell] = {}
    for source in sources:
        mark = training_mark(source.manifest.settings, sources[0].manifest.settings)
        for method in source.manifest.labels:
            entries = [entry for entry in source.manifest.cells if entry["method"] == method]
            own = {(entry["seed"], entry["order"]): SourceCell(source, entry) for entry in entries}
            label = method + mark + _rule_mark(joined, method + mark, next(iter(own.values())).asked)
            while any((label, *k) in joined and not joined[label, *k].same_outcome(cell) for k, cell in own.items()):
                label += f" ({source.name})"
            for k, cell in own.items():
                # The rules of both runs gave answers of the same networks: those of more rules are kept.
                if (label, *k) not in joined or len(cell.asked.rules) > len(joined[label, *k].asked.rules):
                    joined[label, *k] = cell
    labels = list(dict.fromkeys(label for label, _, _ in joined))
    folders: dict[str, str] = {}
    for label in labels:
        other = folders.setdefault(folder_name(label).casefold(), label)
        if other != label:
            raise UserError(f"compare: '{other}' and '{label}' would share a folder; compare other runs")
    return dict(sorted(joined.items(), key=lambda item: (labels.index(item[0][0]), item[0][1:])))


def _rule_mark(joined: Mapping[CellKey, SourceCell], label: str, question: Asked) -> str:
    """The addition to a label that other cells already have, if their main answer is inferred by another rule."""
    others = {cell.asked.main for (known, _, _), cell in joined.items() if known == label}
    return f" (infer={rule_of(question.main) or question.main})" if others - {question.main} else ""


def training_mark(settings: Mapping[str, Any], reference: Mapping[str, Any]) -> str:
    """The addition to the labels of a run that was trained differently from the reference: " (epochs=16)", or ""."""
    different = [
        f"{key}={_shown(setting_of(settings, key))}"
        for key in {**reference, **settings}
        if key not in _NOT_IN_LABELS and setting_of(settings, key) != setting_of(reference, key)
    ]
    return f" ({', '.join(different)})" if different else ""


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(map(str, value)) or "none"
    return "default" if value is None else str(value)


def joined_manifest(sources: Sequence[Source], cells: Mapping[CellKey, SourceCell], argv: list[str]) -> dict[str, Any]:
    """The comparison's manifest: the first run's, with all cells; `runs` has each run's settings and provenance.

    The times come from the runs, so that the same comparison gives the same bytes.
    """
    manifests = [source.manifest for source in sources]
    first = manifests[0]
    ends = [manifest["finished"] for manifest in manifests]
    statuses = {cell.entry["status"] for cell in cells.values()}
    seeds = sorted({seed for _, seed, _ in cells})
    orders = max((manifest.orders for manifest in manifests), key=len)
    methods = list(dict.fromkeys(label for label, _, _ in cells))
    settings = [manifest.settings for manifest in manifests]
    equal = {(own.get("equal_memory"), own.get("equal_compute")) for own in settings}
    return {
        "status": SUCCEEDED if statuses == {SUCCEEDED} else FAILED if statuses & {FAILED, DIVERGED} else INCOMPLETE,
        "command": argv,
        "settings": settings[0] | {"methods": methods, "seeds": seeds, "orders": len(orders)},
        "seeds": seeds,
        "orders": orders,
        "reference": first.reference,
        "bounds": _bounds(cells),
        "methods": _methods(cells),
        "learned_as": {label: cell.asked.own for (label, _, _), cell in cells.items()},
        "stream": first["stream"],
        "backbone": first.backbone,
        "tasks": first.tasks,
        "budgets": _budgets(cells) if len(equal) == 1 else {},
        "started": min(manifest["started"] for manifest in manifests),
        "finished": None if None in ends else max(ends),
        "comparable_seconds": all(manifest.comparable_seconds for manifest in manifests)
        and comparable_seconds([process for manifest in manifests for process in learning_processes(manifest)]),
        "show_seconds": all(map(shows_seconds, manifests)),
        "versions": first["versions"],
        "commit": first["commit"],
        "hardware": first["hardware"],
        "processes": [
            {**process, "run": source.name} for source in sources for process in learning_processes(source.manifest)
        ],
        "runs": {
            source.name: {key: value for key, value in source.manifest.items() if key not in _JOINED}
            for source in sources
        },
        "cells": [{**cell.entry, "method": label, "run": cell.source.name} for (label, _, _), cell in cells.items()],
    }


def _methods(cells: Mapping[CellKey, SourceCell]) -> dict[str, Any]:
    """The options and the recipe of each label, as far as the runs keep them."""
    own = {
        label: cell.source.manifest.get("methods", {}).get(cell.entry["method"])
        for (label, _, _), cell in cells.items()
    }
    return {label: entry for label, entry in own.items() if entry is not None}


def _bounds(cells: Mapping[CellKey, SourceCell]) -> list[str]:
    """The labels of the methods that are bounds in their runs."""
    own = {label: cell for (label, _, _), cell in cells.items()}
    return [label for label, cell in own.items() if cell.entry["method"] in cell.source.manifest.bounds]


def _budgets(cells: Mapping[CellKey, SourceCell]) -> dict[str, Any]:
    """What each label was given, if all runs made the same thing equal."""
    given = {(label, cell.entry["method"]): cell.source.manifest.budgets for (label, _, _), cell in cells.items()}
    return {label: budgets[method] for (label, method), budgets in given.items() if method in budgets}


def _copy_records(origin: Path, target: Path) -> None:
    """Copy a cell's measurements: its records and all answers."""
    target.mkdir(parents=True)
    for number in range(1, len(read_records(origin)) + 1):
        shutil.copyfile(record_path(origin, number), record_path(target, number))
        for path in (answers_path, inferred_path):
            with suppress(FileNotFoundError):
                # An earlier version kept none, and most runs guess no tasks.
                shutil.copyfile(path(origin, number), path(target, number))


def _copy_labels(sources: Sequence[Source], target: RunFolder) -> None:
    """Write the right answers of each task, which all runs share, as far as a run has them."""
    for number, task in enumerate(sources[0].manifest.tasks, 1):
        found = (read_labels(source.folder.path, number) for source in sources)
        known = next((each for each in found if each and each.fingerprint == task["fingerprint"]), None)
        if known:
            write_labels(target.path, {number: known})


def _copy_thumbnails(sources: Sequence[Source], target: RunFolder) -> None:
    """Write the small pictures that the runs have: each has those of the mistakes of its own methods."""
    found = [read_thumbnails(source.folder.path) for source in sources]
    tasks = sorted({task for thumbnails in found for task in thumbnails})
    joint = {task: {k: v for thumbnails in found for k, v in thumbnails.get(task, {}).items()} for task in tasks}
    if joint:
        write_thumbnails(target.path, {task: dict(sorted(own.items())) for task, own in joint.items()})
