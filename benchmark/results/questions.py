"""Which answers each method of a run gives, and which of them the tables show: its main answer.

Answers have names: "task" (the task of an image is known), "class" and "domain" (nobody knows it, and the method has an
answer of its own), "derived" (those of "class" where only the classes of the image's own task may answer), and
"inferred:RULE" (a rule guesses the task, and its head answers).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmark.storage.answers import DERIVED
from benchmark.storage.manifest import Manifest

_INFERRED = "inferred:"

#: For tables and figures: a way to answer without knowing the task that is no rule of task inference.
JOINT = {"class": "joint softmax", "domain": "one head"}


def rule_of(answer: str) -> str | None:
    """The rule by which the task is guessed; None for other answers."""
    return answer.removeprefix(_INFERRED) if answer.startswith(_INFERRED) else None


@dataclass(frozen=True)
class Asked:
    """What one method of a run was asked.

    Attributes:
        scenario: that of its run.
        own: the name of the answers that its networks give, which is the scenario that it learned in.
        rules: those of task inference in its run.
    """

    scenario: str
    own: str
    rules: tuple[str, ...]

    @property
    def inferred(self) -> tuple[str, ...]:
        """The names of the answers for which a rule guesses the task."""
        return tuple(f"{_INFERRED}{rule}" for rule in self.rules)

    @property
    def main(self) -> str:
        """The answer to the question of the run. A method without an answer of its own there uses the first rule."""
        return self.own if self.own == self.scenario or not self.rules else self.inferred[0]

    @property
    def all(self) -> tuple[str, ...]:
        """All answers, the main one first."""
        names = (self.main, self.own, *([DERIVED] if self.own == "class" else []), *self.inferred)
        return tuple(dict.fromkeys(names))

    @property
    def oracle(self) -> str | None:
        """The answers of the same state if the task of each image is known; None if there are none."""
        return {"task": "task", "class": DERIVED}.get(self.own)

    @property
    def counterpart(self) -> str | None:
        """The answer beside the main one that differs in knowing the task; None if there is none."""
        if self.main != self.oracle:
            return self.oracle
        return self.without_oracle[0] if self.without_oracle else None

    @property
    def without_oracle(self) -> tuple[str, ...]:
        """All answers without the task, if they say something beside others: one head alone has no other answer."""
        joint = self.own == "class" or (self.own == "domain" and self.rules)
        return (*([self.own] if joint else []), *self.inferred)


def asked(manifest: Manifest, label: str) -> Asked:
    """What a method was asked, by its label. In a comparison, that is what the runs of its cells asked: all of them."""
    first, *others = _settings(manifest, label)
    scenario = first.get("scenario", "task")
    own = manifest.get("learned_as", {}).get(label, scenario)
    rules = [rule for rule in first.get("infer") or () if all(rule in (each.get("infer") or ()) for each in others)]
    return Asked(scenario, own, tuple(rules))


def scenario_of(manifest: Manifest) -> str | None:
    """The scenario of a run; None for a comparison of runs of several scenarios."""
    scenarios = {asked(manifest, label).scenario for label in manifest.labels}
    return scenarios.pop() if len(scenarios) == 1 else None


def scenario_suffix(manifest: Manifest) -> str:
    """What a title says of the scenario: ", scenario class"; nothing in the scenario "task"."""
    scenario = scenario_of(manifest)
    return f", scenario {scenario}" if scenario not in (None, "task") else ""


def _settings(manifest: Manifest, label: str) -> list[Mapping[str, Any]]:
    """The settings of each run that cells of a method come from."""
    runs = manifest.get("runs", {})
    names = dict.fromkeys(cell.get("run") for cell in manifest.cells if cell["method"] == label)
    return [runs[name]["settings"] for name in names if name in runs] or [manifest.get("settings", {})]
