"""How a run may grow: by tasks behind its own, and by methods, seeds and orders.

What a run has learned must be what a run of the larger size would have learned. So all that decides the numbers of its
cells is compared: settings, images and random numbers by check_same, and here what a larger size could change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmark.learning.learner import units_from_start
from benchmark.planning.preparation import Prepared
from benchmark.planning.scenarios import learned_as
from benchmark.storage.manifest import Entry, Manifest
from benchmark.storage.records import CellKey
from benchmark.streams.orders import draw_orders
from methods.configured import ConfiguredMethod
from methods.errors import UserError


@dataclass(frozen=True)
class Growth:
    """What a run gains.

    Attributes:
        tasks: the names of the tasks behind its own.
        methods: the labels of the methods.
        seeds: the seeds.
        orders: the numbers of the orders.
    """

    tasks: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    orders: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return any(asdict(self).values())

    @property
    def settings(self) -> frozenset[str]:
        """The settings that say how large the run is, as far as it grows by them."""
        names = {"methods": self.methods, "seeds": self.seeds, "orders": self.orders}
        # A stream grows by --tasks, by what is in its folder, or by another specification.
        names |= {"stream": self.tasks, "tasks": self.tasks}
        return frozenset(name for name, more in names.items() if more)

    def as_json(self) -> dict[str, list[Any]]:
        """For the manifest: only what there is."""
        return {name: list(more) for name, more in asdict(self).items() if more}


def growth_of(old: Manifest, new: Manifest) -> Growth:
    """What a run has more in its new manifest. Where something is missing there, it does not grow by that.

    Whether the rest of it is as it was, is not looked at: see check_growth.
    """
    return Growth(
        tuple(task["task_name"] for task in new.tasks[len(old.tasks) :]),
        _more(old.settings.get("methods", ()), new.settings["methods"]),
        _more(old.get("seeds", ()), new.seeds),
        tuple(range(len(old.get("orders", ())), len(new.orders))),
    )


def _more(old: Sequence[Any], new: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(each for each in new if each not in old) if set(old) <= set(new) else ()


def check_growth(old: Manifest, new: Manifest, growth: Growth, prepared: Prepared, name: str) -> None:
    """Refuse what would make the run's cells other than those of a run that has its new size from the start.

    Args:
        old, new: the run's manifest, and that of a run of the new size.
        growth: what the run gains.
        prepared: the run of the new size.
        name: the run's name.

    Raises:
        UserError: its tasks, their orders, its cells, or what its methods are given would be others.
    """
    if growth.tasks:
        _check_tasks(old.tasks, new.tasks, name)
        for method in prepared.methods:
            if method.label not in growth.methods:
                _check_head(method, prepared, len(old.tasks), name)
    _check_orders(old.orders, _orders(old, new), name)
    _check_cells(old, new, name)
    _check_budgets(old, new, name)


def _tasks(old: Manifest, new: Manifest) -> list[Entry]:
    return [*old.tasks, *new.tasks[len(old.tasks) :]]


def _orders(old: Manifest, new: Manifest) -> list[list[int]]:
    # Those of the names at the run's start: a folder may have been renamed since.
    return draw_orders([task["task_name"] for task in _tasks(old, new)], len(new.orders))


def _check_tasks(old: Sequence[Entry], new: Sequence[Entry], name: str) -> None:
    for number, (before, now) in enumerate(zip(old, new, strict=False), 1):
        if before["task_name"] != now["task_name"]:
            raise UserError(
                f"--name {name}: a run grows only by tasks behind its own, and its task {number} is "
                f"'{before['task_name']}', not '{now['task_name']}'; put new tasks at the end, or give another --name"
            )
        if before["fingerprint"] != now["fingerprint"]:
            raise UserError(
                f"--name {name}: a run grows only if its own tasks are as they were, and the images or classes of "
                f"'{now['task_name']}' have changed; restore them, or give another --name"
            )


def _check_orders(old: Sequence[Sequence[int]], new: Sequence[Sequence[int]], name: str) -> None:
    for number, (before, now) in enumerate(zip(old, new, strict=False)):
        begins = now[: len(before)]
        if list(begins) != list(before):
            raise UserError(
                f"--name {name}: random orders are drawn for the whole stream, and order {number} of the longer one "
                f"begins with the tasks {_listed(begins)}, not {_listed(before)}; give another --name"
            )


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _check_head(method: ConfiguredMethod, prepared: Prepared, tasks: int, name: str) -> None:
    instance = method.make()
    instance.scenario = learned_as(prepared.settings.scenario, method)
    widths = prepared.stream.widths
    before, now = units_from_start(instance, widths[:tasks]), units_from_start(instance, widths)
    if before != now:
        raise UserError(
            f"--name {name}: '{method.label}' learns every task with a head for {now} classes in this stream, and did "
            f"with one for {before}, so that its first tasks would be learned otherwise; give another --name"
        )


def _check_cells(old: Manifest, new: Manifest, name: str) -> None:
    now = set(new.keys_of_cells)
    for method, seed, order in old.keys_of_cells:
        if (method, seed, order) not in now:
            raise UserError(
                f"--name {name}: with as many --orders as --seeds each seed has an order of its own, so that seed "
                f"{seed} in order {order}, which that run has, would not be in it; give other numbers of them, or "
                "another --name"
            )


def _check_budgets(old: Manifest, new: Manifest, name: str) -> None:
    for label, budget in old.budgets.items():
        before, now = _given(budget), _given(new.budgets.get(label, {}))
        if before != now:
            raise UserError(
                f"--name {name}: --equal-memory and --equal-compute weigh '{label}' over the whole stream, and give it "
                f"{_shown(now)} in the longer one, not {_shown(before)}; give another --name"
            )


def _given(budget: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """What of a budget decides the numbers."""
    return budget.get("memory_bytes"), budget.get("epochs")


def _shown(given: tuple[int | None, int | None]) -> str:
    memory, epochs = given
    size = "" if memory is None else f"a memory of {memory:,} bytes and "
    return f"{size}{epochs} epoch{'' if epochs == 1 else 's'}"


def grown(old: Manifest, new: Manifest, growth: Growth) -> Manifest:
    """Return the manifest of a run that has grown; what it has of its old cells and tasks stays.

    Args:
        old, new: the run's manifest, and that of a run of the new size.
        growth: what the run gains.
    """
    if not growth:
        return old
    known: dict[CellKey, Entry] = dict(zip(old.keys_of_cells, old.cells, strict=True))
    plugins = [*old.get("plugins", ()), *new["plugins"]]
    return Manifest(
        {
            **old,
            # The command that makes all of it.
            "command": new["command"],
            "settings": old.settings | {name: new.settings[name] for name in growth.settings},
            "seeds": new.seeds,
            "orders": _orders(old, new),
            "stream": new["stream"],
            "methods": old.get("methods", {}) | new["methods"],
            "learned_as": new["learned_as"],
            "budgets": new.budgets,
            "plugins": [entry for k, entry in enumerate(plugins) if entry not in plugins[:k]],
            **({"tuned": new["tuned"]} if "tuned" in new else {}),
            "tasks": _tasks(old, new),
            "cells": [known.get(key, cell) for key, cell in zip(new.keys_of_cells, new.cells, strict=True)],
        }
    )
