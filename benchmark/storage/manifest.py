"""manifest.json as a record: names and types for what many places read from it."""

from __future__ import annotations

from typing import Any, TypeAlias

from benchmark.storage.records import CellKey
from methods.errors import UserError
from methods.scenarios import Scenario

#: The manifest's cell statuses: those of a run in progress, and the ends of a cell.
PENDING, RUNNING, SUCCEEDED, FAILED, DIVERGED = "pending", "running", "succeeded", "failed", "diverged"

#: The status of a method or a comparison of which something was not learned yet, and nothing went wrong.
INCOMPLETE = "incomplete"

#: The entry of a task with the number of test images of each class. Only a kept run has it; others have the labels.
PER_CLASS = "test_images_per_class"

#: What the manifest says of a thing, as a task or a cell.
Entry: TypeAlias = dict[str, Any]


def key_of(cell: Entry) -> CellKey:
    """The method, seed and order of a cell's entry."""
    return cell["method"], cell["seed"], cell["order"]


class Manifest(dict[str, Any]):
    """The content of manifest.json. As a dictionary it is the file; its properties are what many places read."""

    def __missing__(self, key: str) -> Any:
        """Say in a sentence what an entry that every run has means where it is not there.

        Raises:
            UserError: always.
        """
        raise UserError(
            f"the run's manifest.json has no entry '{key}': an older version wrote it, or it was changed; "
            "use the version that wrote it, or begin a run of another name"
        )

    @property
    def settings(self) -> Entry:
        """The settings that decide the numbers, by the names of Settings."""
        return self["settings"]

    @property
    def tasks(self) -> list[Entry]:
        """An entry for each task, in the stream's order."""
        return self["tasks"]

    @property
    def cells(self) -> list[Entry]:
        """An entry for each cell: its method, seed, order, status and cause."""
        return self["cells"]

    @property
    def size(self) -> int:
        """How many tasks all cells learn together."""
        return len(self.tasks) * len(self.cells)

    @property
    def keys_of_cells(self) -> list[CellKey]:
        """Each cell's method, seed and order."""
        return [key_of(cell) for cell in self.cells]

    @property
    def seeds(self) -> list[int]:
        """The seeds with which each method learns."""
        return self["seeds"]

    @property
    def orders(self) -> list[list[int]]:
        """For each order of the tasks their numbers in `tasks`, from 1."""
        return self["orders"]

    @property
    def backbone(self) -> Entry:
        """The backbone: its specification, fingerprint and size."""
        return self["backbone"]

    @property
    def budgets(self) -> dict[str, Entry]:
        """What --equal-memory and --equal-compute gave each method, by its label; empty where neither was given."""
        return self.get("budgets", {})

    @property
    def bounds(self) -> list[str]:
        """The labels of the methods that bound the others."""
        return self["bounds"]

    @property
    def reference(self) -> str:
        """The label of the method with which the others are compared, or "all"."""
        return self["reference"]

    @property
    def comparable_seconds(self) -> bool:
        """Whether all seconds were measured on the same hardware."""
        return self.get("comparable_seconds", True)

    def learned_as(self, label: str) -> Scenario:
        """The scenario in which a method learned: where it has no answer of its own in the run's, it is "task"."""
        return self.get("learned_as", {}).get(label, self.settings.get("scenario", "task"))

    def rules_of(self, label: str) -> tuple[str, ...]:
        """The rules by which a method guesses the task: none where one head answers for all domains."""
        # An earlier version of the program guessed no task.
        return () if self.learned_as(label) == "domain" else tuple(self.settings.get("infer") or ())

    @property
    def kept(self) -> bool:
        """Whether the folder has the run's tables and not its cells, as those of docs/results/: see keep_run.py."""
        return self.get("kept", False)

    @property
    def title(self) -> str:
        """What was learned on what, for a heading."""
        return f"{self['stream']['spec']} on {self.backbone['spec']}"

    def repetition(self, key: CellKey) -> str:
        """Which repetition of its method a cell is, in words."""
        _, seed, order = key
        return f"seed {seed}, order {order}" if len(self.orders) > 1 else f"seed {seed}"

    @property
    def labels(self) -> list[str]:
        """The methods' labels, in the order of the tables."""
        return list(dict.fromkeys(cell["method"] for cell in self.cells))

    @property
    def statuses(self) -> dict[str, str]:
        """Each method's status: failed or diverged if a cell did, succeeded if all succeeded, else incomplete."""
        return {label: self._status(label) for label in self.labels}

    def _status(self, label: str) -> str:
        own = {cell["status"] for cell in self.cells if cell["method"] == label}
        if own == {SUCCEEDED}:
            return SUCCEEDED
        return next((status for status in (FAILED, DIVERGED) if status in own), INCOMPLETE)
