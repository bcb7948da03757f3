"""What a cell of a run has learned, read from the run's folder alone: no data set is needed, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmark.backbones import backbone_of
from benchmark.backbones.base import fingerprint
from benchmark.config import setting_of
from benchmark.images.decode import Reading
from benchmark.learning.learner import Cell
from benchmark.learning.precision import Precision
from benchmark.planning.budgets import Budget, with_budgets
from benchmark.planning.preparation import choose_device
from benchmark.storage.folder import RunFolder, cell_name
from benchmark.storage.labels import read_labels
from benchmark.storage.manifest import DIVERGED, FAILED, SUCCEEDED, Entry, Manifest
from benchmark.storage.records import CellKey, Records
from benchmark.storage.state import State, read_newest
from methods import methods
from methods.configured import ConfiguredMethod, configure
from methods.errors import UserError
from methods.names import did_you_mean, listed, same_name
from methods.network import Network
from methods.options import parse_spec


@dataclass(frozen=True)
class Learned:
    """What one cell of a run knows after the last task that it learned. A task has a place in its order, from 1.

    Attributes:
        run: the run's folder.
        manifest: its manifest.
        key: the cell's method, seed and order.
        method: the method.
        cell: makes its networks.
        state: the state after the last task learned, without its memory.
        records: what was measured, task after task.
        tasks: the manifest's entries of the learned tasks, by place.
    """

    run: RunFolder
    manifest: Manifest
    key: CellKey
    method: ConfiguredMethod
    cell: Cell
    state: State
    records: Records
    tasks: tuple[Entry, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the learned tasks."""
        return tuple(task["task_name"] for task in self.tasks)

    @property
    def widths(self) -> tuple[int, ...]:
        """The class count of each learned task."""
        return self.cell.widths[: len(self.tasks)]

    @cached_property
    def class_names(self) -> tuple[tuple[str, ...] | None, ...]:
        """The names of each task's classes; None where the run was made by a version that did not keep them."""
        return tuple(map(self._class_names, self.tasks))

    def _class_names(self, task: Entry) -> tuple[str, ...] | None:
        found = read_labels(self.run.path, task["task"])
        return found.classes if found is not None and found.fingerprint == task["fingerprint"] else None

    @property
    def image_size(self) -> int:
        """The height and width of the images that the networks take, in pixels."""
        return int(self.tasks[-1]["image_size"])

    @property
    def channels(self) -> int:
        """The channels of these images: 3, or 1 for grey."""
        return self.cell.pristine.channels

    @property
    def reading(self) -> Reading:
        """How image files become pixels: as in the run."""
        return Reading(self.setting("resize"), tuple(self.setting("grey_range")))

    @property
    def precision(self) -> Precision:
        """The precision of the passes: that of the run, as far as this device has it."""
        asked: Precision = self.setting("precision")
        return "fp32" if asked == "tf32" and self.cell.device.type != "cuda" else asked

    def setting(self, name: str) -> Any:
        """A setting of the run."""
        return setting_of(self.manifest.settings, name)

    @property
    def others(self) -> list[str]:
        """The other repetitions of the method that have been learned."""
        method, *own = self.key
        each = [key for key in self.manifest.keys_of_cells if key[0] == method and list(key[1:]) != own]
        return [self.manifest.repetition(key) for key in each]

    def place_of(self, task: str) -> int:
        """The place of a task, by its name, or else by the place itself, as predictions have it.

        Raises:
            UserError: no learned task has that name or place.
        """
        name = same_name(task, self.names)
        if name is not None:
            return self.names.index(name) + 1
        places = {str(place): place for place in range(1, len(self.names) + 1)}
        if task in places:
            return places[task]
        later = any(task == entry["task_name"] for entry in self.manifest.tasks)
        why = f"has not been learned yet by {self.key[0]}" if later else f"is no task of {self.run.path}"
        hint = "" if later else did_you_mean(task, self.names)
        raise UserError(f"--task {task} {why}; {hint}learned are {listed(self.names)}")


def read_learned(
    run: RunFolder,
    method: str,
    seed: int | None = None,
    order: int | None = None,
    device: str = "auto",
    warn: Callable[[str], None] = lambda text: None,
) -> Learned:
    """Read what a method of a run has learned so far.

    Args:
        run: the run's folder; the run may be going on.
        method: its label.
        seed, order: of the repetition; the first that there is if None.
        device: where to compute: "auto", "cpu" or "cuda".
        warn: called with a line of text about the backbone that the user must read.

    Raises:
        UserError: the run has no such cell, the cell failed or has learned nothing, or something that is needed is
            missing or damaged.
    """
    manifest = run.read_manifest()
    if manifest.kept:
        run.check_cells(manifest)
    if "runs" in manifest:
        raise UserError(
            f"{run.path}: `compare` made that folder of the tables of other runs; give one of them: "
            f"{', '.join(manifest['runs'])}"
        )
    entry = _chosen(run, manifest, method, seed, order)
    key = (entry["method"], entry["seed"], entry["order"])
    if entry["status"] in (FAILED, DIVERGED):
        good = [label for label, status in manifest.statuses.items() if status == SUCCEEDED]
        others = f"; others succeeded: {listed(good)}" if good else ""
        raise UserError(f"--method {method}: {cell_name(entry, manifest)} failed: {entry['cause']}{others}")
    found = read_newest(run.cell(*key))
    if entry["status"] == SUCCEEDED:
        run.check_records(key, range(1, len(manifest.tasks) + 1))
    if found is None:
        raise UserError(f"--method {method}: {cell_name(entry, manifest)} has learned no task yet; wait for the first")
    state, records = found
    configured = _configured(manifest, method)
    in_order = tuple(manifest.tasks[number - 1] for number in manifest.orders[key[2]])
    widths = tuple(task["classes"] for task in in_order)
    cell = Cell(
        _backbone(run, manifest, warn),
        configured.make,
        max(widths),
        key[1],
        choose_device(device),
        tuple(task["task_name"] for task in in_order),
        setting_of(manifest.settings, "memory_format"),
        manifest.learned_as(method),
        widths,
    )
    return Learned(run, manifest, key, configured, cell, state, records, in_order[: state.learned])


def _chosen(run: RunFolder, manifest: Manifest, method: str, seed: int | None, order: int | None) -> Entry:
    """The manifest's entry of a cell."""
    cells = [cell for cell in manifest.cells if cell["method"] == method]
    if not cells:
        hint = did_you_mean(method, manifest.labels)
        raise UserError(f"--method {method} is none of the methods of {run.path}: {hint}{listed(manifest.labels)}")
    for name, asked in (("seed", seed), ("order", order)):
        there = _each(cells, name)
        cells = [cell for cell in cells if asked in (None, cell[name])]
        if not cells:
            raise UserError(f"--{name} {asked}: {method} has learned with {name} {there} in {run.path}")
    return cells[0]


def _each(cells: Sequence[Entry], name: str) -> str:
    return ", ".join(map(str, dict.fromkeys(cell[name] for cell in cells)))


def _configured(manifest: Manifest, label: str) -> ConfiguredMethod:
    """The method, with the memory size of its budget."""
    name = parse_spec(label).name
    files = [entry["file"] for entry in manifest.get("plugins", [])]
    if files and name not in methods.names():
        raise UserError(f"--method {label}: the run learned it with --plugin {', '.join(files)}; give that here too")
    recipe = {option: setting_of(manifest.settings, option) for option in ("lr", "optimizer", "schedule")}
    budgets = {each: Budget(**budget) for each, budget in manifest.budgets.items()}
    return with_budgets([configure(label, **recipe)], budgets)[0]


def _backbone(run: RunFolder, manifest: Manifest, warn: Callable[[str], None]) -> Network:
    spec = manifest.backbone["spec"]
    network = backbone_of(spec).network(warn=warn)
    if fingerprint(network) != manifest.backbone["fingerprint"]:
        raise UserError(
            f"{run.path} was learned on the backbone {spec}, and what that holds has changed since; restore its weights"
        )
    return network
