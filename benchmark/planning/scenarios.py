"""Which methods and streams a scenario is for. What cannot be answered is refused before anything trains."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from benchmark.streams.base import Stream
from methods import methods
from methods.configured import ConfiguredMethod
from methods.errors import UserError
from methods.scenarios import Scenario


def methods_for(scenario: Scenario) -> list[str]:
    """Return the names of the methods that have an answer of their own in a scenario."""
    found = []
    for name in methods.names():
        # A package that cannot be imported is refused where it is asked for.
        with suppress(UserError):
            if scenario in methods.get(name).scenarios:
                found.append(name)
    return found


def check_scenario(scenario: Scenario, configured: Sequence[ConfiguredMethod]) -> None:
    """Check that each method can answer in a scenario.

    Raises:
        UserError: a method has no answer of its own there, or an option that means nothing there.
    """
    for method in configured:
        if scenario not in method.cls.scenarios:
            raise UserError(
                f"--scenario {scenario}: '{method.label}' answers only where the task of an image is known; leave it "
                f"out, or give --scenario task; methods with an answer here are {', '.join(methods_for(scenario))}"
            )
        if scenario != "task" and method.options.get("bn") == "per-task":
            raise UserError(
                f"--scenario {scenario}: '{method.label}' has batch normalisation for each task, and the task of a "
                "test image is not known; give it bn=shared or bn=frozen, or use --scenario task"
            )
        if scenario != "class" and "logits" in method.options:
            raise UserError(
                f"--scenario {scenario}: '{method.label}' sets logits, which says something only where classes of "
                "several tasks compete; leave it out, or give --scenario class"
            )


def check_classes(scenario: Scenario, stream: Stream) -> None:
    """Check that all tasks have the same classes in the scenario "domain".

    Raises:
        UserError: they have not; the message names the first difference.
    """
    if scenario == "domain" and (difference := stream.class_difference):
        raise UserError(
            f"--scenario domain needs a stream whose tasks all have the same classes in the same order, but "
            f"{difference}; give another --stream, as permuted-mnist, or --scenario class"
        )


def scenario_for(scenario: Scenario, method: ConfiguredMethod) -> Scenario:
    """Return the scenario in which a method's costs are estimated: "task" if it has no answer in the run's."""
    return scenario if scenario in method.cls.scenarios else "task"
