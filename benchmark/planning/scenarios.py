"""Which methods and streams a scenario is for. What cannot be answered is refused before anything trains."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from benchmark.streams.base import Stream
from benchmark.task_inference.rules import DEFAULT_RULE
from methods import methods
from methods.configured import ConfiguredMethod
from methods.errors import UserError
from methods.scenarios import Scenario

# The most classes that may compete for an image: memories of past images store labels in two bytes, with a sign.
_MOST_CLASSES = 2**15

#: Where a method answers, in words.
_WHERE: dict[Scenario, str] = {
    "task": "the task of an image is known",
    "class": "classes of all tasks compete",
    "domain": "all tasks have the same classes",
}


def methods_for(scenario: Scenario) -> list[str]:
    """Return the names of the methods that have an answer of their own in a scenario."""
    found = []
    for name in methods.names():
        # A package that cannot be imported is refused where it is asked for.
        with suppress(UserError):
            if scenario in methods.get(name).scenarios:
                found.append(name)
    return found


def learned_as(scenario: Scenario, method: ConfiguredMethod) -> Scenario:
    """Return the scenario in which a method learns: "task" if it has no answer of its own in the run's.

    It then has something for each task, and answers where the task is not known by guessing it. A method that learns
    in neither has its first scenario; no run has such a method, but costs are estimated.
    """
    scenarios = method.cls.scenarios
    # Where each task has batch normalisation of its own, by the method's default or because it was asked for.
    if scenario in scenarios and getattr(method.make(), "bn", None) != "per-task":
        return scenario
    return "task" if "task" in scenarios else scenarios[0]


def rules_for(scenario: Scenario, configured: Sequence[ConfiguredMethod], asked: Sequence[str]) -> tuple[str, ...]:
    """Return the rules of task inference of a run: those that were asked for, or the default where one is needed.

    Raises:
        UserError: rules were asked for, and no method needs the task of an image.
    """
    learned = {learned_as(scenario, method) for method in configured}
    if asked and learned == {"domain"}:
        raise UserError(
            f"--infer {','.join(asked)}: with --scenario domain these methods answer without the task of an image, so "
            "there is nothing to guess; leave the option out, or add a method with something for each task, as clr"
        )
    needed = scenario != "task" and "task" in learned
    return tuple(asked) or ((DEFAULT_RULE,) if needed else ())


def check_scenario(scenario: Scenario, configured: Sequence[ConfiguredMethod]) -> None:
    """Check that each method can answer in a scenario.

    Raises:
        UserError: a method cannot answer there, or has an option that means nothing there.
    """
    for method in configured:
        if learned_as(scenario, method) not in (scenario, "task"):
            raise UserError(
                f"--scenario {scenario}: '{method.label}' answers only where {_known(method)}; leave it out, or give "
                f"--scenario {' or '.join(method.cls.scenarios)}; methods with an answer here are "
                f"{', '.join(methods_for(scenario))}"
            )
        if learned_as(scenario, method) != "class" and "logits" in method.options:
            raise UserError(
                f"--scenario {scenario}: '{method.label}' sets logits, which says something only where one head "
                f"answers for the classes of several tasks; {_without_logits(scenario)}"
            )
        if scenario == "domain" and method.options.get("warmup"):
            raise UserError(
                f"--scenario domain: '{method.label}' trains the units of new classes first, and here no class is new; "
                "leave warmup out"
            )


def _without_logits(scenario: Scenario) -> str:
    """What to do with the option logits of a method that does not learn in the scenario "class"."""
    if scenario == "class":
        return "with bn=per-task each task has a head of its own; leave one of the two out"
    return "leave it out, or give --scenario class"


def _known(method: ConfiguredMethod) -> str:
    """Where a method answers, in words."""
    return " or ".join(_WHERE[scenario] for scenario in method.cls.scenarios)


def check_classes(scenario: Scenario, stream: Stream) -> None:
    """Check that all tasks have the same classes in the scenario "domain", and that labels can be stored.

    Raises:
        UserError: they have not, and the message names the first difference; or there are too many classes.
    """
    if scenario == "domain" and (difference := stream.class_difference):
        raise UserError(
            f"--scenario domain needs a stream whose tasks all have the same classes in the same order, but "
            f"{difference}; give another --stream, as permuted-mnist, or --scenario class"
        )
    competing = sum(stream.widths) if scenario == "class" else stream.most_classes
    if competing > _MOST_CLASSES:
        fewer = "fewer --tasks, or --scenario task" if scenario == "class" else "a stream whose tasks have fewer"
        raise UserError(
            f"--scenario {scenario}: {competing:,} classes compete for an image, and at most {_MOST_CLASSES:,} are "
            f"possible; give {fewer}"
        )
