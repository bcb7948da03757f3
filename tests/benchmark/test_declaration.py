"""A field of a dataclass is an option: its type, choices and default are those of the field."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from benchmark.cli.options import Command
from benchmark.config import RUN_OPTIONS, Execution, Place, Settings, Sources
from benchmark.declaration import Option, make, options_of, setting
from methods.options import Spec


@dataclass(frozen=True)
class Kitchen:
    """Of every kind a field."""

    cook: str = setting(help="who")
    pots: int = setting(3, metavar="N", help="how many")
    heat: float | None = setting(None)
    fuel: Literal["gas", "wood"] = setting("gas", group="power")
    clean: bool | None = setting(None)
    menu: tuple[str, ...] = setting((), read=lambda given: tuple(given))
    dish: Spec | None = setting(None)
    knives: tuple[str, ...] = setting((), name="knife", read=tuple, repeated=True)
    secret: int = 7


OPTIONS = {option.name: option for option in options_of(Kitchen)}


def test_fields_are_options():
    assert list(OPTIONS) == ["cook", "pots", "heat", "fuel", "clean", "menu", "dish", "knife"]
    kinds = {name: option.kind for name, option in OPTIONS.items()}
    assert kinds == dict.fromkeys(("cook", "fuel", "menu", "dish", "knife"), str) | {
        "pots": int,
        "heat": float,
        "clean": bool,
    }
    assert (OPTIONS["cook"].required, OPTIONS["pots"].required) == (True, False)
    assert (OPTIONS["pots"].default, OPTIONS["pots"].metavar, OPTIONS["pots"].help) == (3, "N", "how many")
    assert (OPTIONS["fuel"].choices, OPTIONS["fuel"].group) == (("gas", "wood"), "power")
    assert (OPTIONS["knife"].flag, OPTIONS["knife"].field) == ("--knife", "knives")


def test_an_object_is_made_of_values():
    made = make(Kitchen, tuple(OPTIONS.values()), {"cook": "a", "knife": ["b"], "menu": "cd", "other": 1}, pots=5)
    assert made == Kitchen("a", pots=5, menu=("c", "d"), knives=("b",))


def test_the_command_line_follows():
    parser = argparse.ArgumentParser()
    Command("cook", "", lambda arguments, argv: 0, tuple(OPTIONS.values())).add_to(parser)

    def parsed(command: str) -> dict[str, Any]:
        return vars(parser.parse_args(command.split()))

    assert parsed("") == {}, "only what is given"
    command = "--cook a --pots 4 --heat 0.5 --fuel wood --no-clean --menu x,y --knife k --knife l"
    assert parsed(command) == {
        **{"cook": "a", "pots": 4, "heat": 0.5, "fuel": "wood", "clean": False},
        **{"menu": "x,y", "knife": ["k", "l"]},
    }
    shown = " ".join(parser.format_help().split())
    assert "--pots N how many; default 3" in shown
    assert "power: --fuel {gas,wood} default gas" in shown


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("pots", 4, 4),
        ("heat", 2, 2),
        ("heat", 0.5, 0.5),
        ("clean", False, False),
        ("fuel", "wood", "wood"),
        ("menu", "x,y", "x,y"),
        ("menu", ["x", "y"], ["x", "y"]),
        ("knife", "k", ["k"]),
        ("knife", ["k", "l"], ["k", "l"]),
    ],
)
def test_values_of_a_file(name, value, read):
    assert OPTIONS[name].from_file(value) == read


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("pots", "4", "must be a whole number"),
        ("pots", 4.0, "must be a whole number"),
        ("pots", True, "must be a whole number"),
        ("pots", [4], "must be a whole number"),
        ("heat", "hot", "must be a number"),
        ("heat", False, "must be a number"),
        ("clean", 1, "must be true or false"),
        ("clean", "true", "must be true or false"),
        ("cook", 3, "must be text in quotes"),
        ("cook", {"name": "a"}, "must be text in quotes"),
        ("fuel", "coal", "must be one of gas, wood"),
        ("menu", 3, "must be text in quotes or a list of such texts"),
        ("menu", ["x", 3], "must be text in quotes or a list of such texts"),
    ],
)
def test_values_of_a_file_that_are_refused(name, value, says):
    with pytest.raises(ValueError, match=f"^{says}$"):
        OPTIONS[name].from_file(value)


def test_every_setting_of_a_run_is_declared_once():
    parts = [options_of(part) for part in (Settings, Execution, Place, Sources)]
    names = [option.name for part in parts for option in part]
    assert sorted(names) == sorted(RUN_OPTIONS), "no name twice"
    own = {"tuned", "reproduces", "in_process"}
    for part, options in zip((Settings, Execution, Place, Sources), parts, strict=True):
        # What the file of --tuned and a protocol say, and where a notebook's methods can run, comes from no text.
        fields = set(part.__dataclass_fields__) - (own if part is Execution else set())
        assert {option.field for option in options} == fields, "no field without an option"
    assert all(option.help for option in RUN_OPTIONS.values())


def test_text_that_is_given_from_python():
    assert Option("n", int).from_text("3") == 3
    for option, text, says in (
        (Option("n", int), "x", "invalid int value: 'x'"),
        (Option("n", bool), "True", "invalid bool value: 'True'"),
        (OPTIONS["fuel"], "coal", r"invalid choice: 'coal' \(choose from gas, wood\)"),
    ):
        with pytest.raises(ValueError, match=f"^{says}$"):
            option.from_text(text)
