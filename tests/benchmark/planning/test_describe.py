"""What is told of one method: the numbers are those of the tables in METHODS' formulas and of `cost`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from benchmark.config import Settings
from benchmark.planning.describe import Description, Option, _values, code_file, describe, name_patterns, to_text
from benchmark.planning.estimate import StreamShape, estimate
from benchmark.report.tables import compute_display, storage_display
from methods import methods
from methods.configured import configure
from methods.method import Method
from methods.options import option_types
from methods.recipe import Range, Recipe
from methods.registry import load_plugin

SHAPE = StreamShape(tasks=4, classes=3, images=20, image_size=32)
# Of the backbone `mini`: parameters, channels (those of its batch normalisation), features.
P, C, D = 293_912, 648, 128


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Methods that a test registers are forgotten afterwards."""
    monkeypatch.setattr(methods, "_entries", dict(methods._entries))


def described(text: str) -> Description:
    return describe(Settings(methods=(text,), epochs=2, batch_size=8), SHAPE)


def sizes(text: str) -> dict[str, tuple[int, int]]:
    return {part.name: (part.values, part.bytes) for part in described(text).parts}


HEAD = (D + 1) * 3


@pytest.mark.parametrize(
    ("text", "frozen", "shared", "task", "memory"),
    [
        ("bn-only", P - 2 * C, 0, 4 * C + HEAD, 0),
        ("sgd", 0, P + 2 * C, HEAD, 0),
        ("sgd:bn=frozen", 4 * C, P - 2 * C, HEAD, 0),
        ("sgd-ll", P + 2 * C, HEAD, 0, 0),
        ("ewc:samples=4", 0, P + 2 * C, HEAD, 2 * P),
        ("ewc:samples=4:storage=summed", 0, P + 2 * C, HEAD, 2 * P + 1),
    ],
)
def test_how_the_tensors_are_divided(text, frozen, shared, task, memory):
    counted = {"frozen": frozen, "shared": shared, "task": task, "memory": memory}
    assert sizes(text) == {part: (values, 4 * values) for part, values in counted.items()}


def test_bytes_are_those_of_what_is_stored():
    """Ten uint8 images with int16 labels and task numbers, and one int64 count."""
    assert sizes("er:memory=10")["memory"] == (10 * (3 * 32 * 32 + 2) + 1, 10 * (3 * 32 * 32 + 4) + 8)


def test_costs_are_those_that_cost_gives():
    text = "ewc:samples=4:storage=summed"
    parameters, compute = estimate(Settings(methods=(text,), epochs=2, batch_size=8), SHAPE)
    found = described(text)
    assert found.storage == storage_display(parameters)
    assert found.compute == compute_display(compute)
    assert float(parameters["extra_parameters_per_task"][0]) == 0, "of the options given, not of the defaults"
    assert found.setting == "backbone mini, 4 tasks of 3 classes and 20 training images of 32x32, 2 epochs"


class Size:
    @classmethod
    def parse(cls, text: str) -> Size:
        return cls()

    def __str__(self) -> str:
        return "5MB"


class MemorySize(Size): ...


class Everything(Method):
    """Has an option of every kind.

    Everything (Nobody, 2000, arXiv 0001.00001).
    """

    recipe = Recipe(optimizer="adam", lr=0.25)
    search = {"lr": Range(0.01, 1.0), "rate": Range(0.0, 0.5, log=False), "kind": ("a", "b"), "flag": (True, False)}

    def __init__(
        self,
        path: str,
        rate: float = 1e-5,
        count: int | None = None,
        flag: bool = True,
        kind: Literal["a", "b"] = "a",
        size: MemorySize = MemorySize(),  # noqa: B008
    ):
        super().__init__()

    def part(self, module: torch.nn.Module, name: str) -> Any:
        return "frozen"


def test_options_of_every_kind():
    methods.register("everything")(Everything)
    found = described("everything:here:kind=b:lr=0.5")
    assert found.documentation == "Has an option of every kind.\n\nEverything (Nobody, 2000, arXiv 0001.00001)."
    assert found.options == (
        Option("path", "text", "required", "here", ""),
        Option("rate", "number", "1e-05", "", "0 to 0.5"),
        Option("count", "whole number", "None", "", ""),
        Option("flag", "true, false", "true", "", "true, false"),
        Option("kind", "a, b", "a", "b", "a, b"),
        Option("size", "memory size", "5MB", "", ""),
    )
    assert found.recipe[:3] == (
        Option("optimizer", "sgd, adam, adamw, rmsprop", "adam", "", ""),
        Option("lr", "number", "0.25", "0.5", "0.01 to 1, logarithmic"),
        Option("momentum", "number", "0.9", "", ""),
    )


@pytest.mark.parametrize(
    ("names", "patterns"),
    [
        ([], ()),
        (["seen"], ("seen",)),
        (["fisher.1", "fisher.12", "anchor.1"], ("fisher.*", "anchor.*")),
        (
            ["layer1.0.bn1.weight", "layer1.0.bn1.bias", "layer2.0.bn1.weight", "layer1.0.conv1.weight"],
            ("layer*.*.bn*.{weight, bias}", "layer*.*.conv*.weight"),
        ),
    ],
)
def test_names_are_told_as_patterns(names, patterns):
    assert name_patterns(names) == patterns


def test_the_text_says_it_all_in_lines_that_a_terminal_holds():
    found = described("ewc:strength=3:samples=4")
    text = to_text(found)
    lines = text.splitlines()
    assert text.startswith(f"ewc:strength=3:samples=4\n\n{found.documentation}\n")
    assert max(map(len, lines)) <= 120
    assert [line.split() for line in lines if line.startswith("  strength")] == [
        ["strength", "number", "1", "3", "0.1", "to", "100,", "logarithmic"]
    ]
    assert "  Per task: 387 values, 1.55 kB, in 2 tensors" in lines
    assert "  Frozen, referred to instead of stored: nothing" in lines
    assert "    {fisher, anchor}.*" not in lines
    assert "    fisher.*" in lines
    assert [line.split()[-1] for line in lines if line.startswith("  Extra parameters per task")] == ["587,824"]


def test_a_table_without_values_has_no_column_for_them():
    text = to_text(described("linear-probe"))
    assert "\nOptions" not in text
    assert "here" not in text


def test_long_lists_of_names_are_cut():
    class Many(Everything):
        """Keeps many things."""

        def __init__(self) -> None:
            Method.__init__(self)

        def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
            self.kept |= {f"{letter}.kept": torch.zeros(2) for letter in "abcdefghijk"}

    methods.register("many")(Many)
    lines = to_text(described("many")).splitlines()
    start = lines.index("  Memory: 22 values, 88 B, in 11 tensors")
    assert lines[start + 1 : start + 10] == [*(f"    {letter}.kept" for letter in "abcdefgh"), "    and 3 more"]


@pytest.mark.parametrize("name", methods.names())
def test_every_word_that_is_printed_for_an_option_can_be_used(name: str) -> None:
    """Also of `avalanche`, here with a plugin that needs no option of its own."""
    spec = "avalanche:MASPlugin" if name == "avalanche" else name
    for option, annotation in option_types(configure(spec).cls).items():
        printed = _values(annotation)
        for word in printed.split(", ") if ", " in printed else ():
            configure(f"{spec}:{option}={word}")


@pytest.mark.parametrize(
    ("spec", "file"),
    [
        ("clr-full", "methods/clr.py"),
        ("er", "baselines/er.py"),
        ("online-ewc", "baselines/online_ewc.py"),
        ("avalanche:MASPlugin", "baselines/avalanche/plugins.py"),
    ],
)
def test_the_file_of_a_method(spec: str, file: str) -> None:
    assert code_file(configure(spec).cls) == file


def test_the_file_of_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.py"
    path.write_text("class Mine: ...\n")
    module = load_plugin(str(path))
    monkeypatch.setattr(sys.modules[module.__name__], "__file__", str(path))
    assert code_file(module.Mine) == path.as_posix()
    monkeypatch.delitem(sys.modules, module.__name__)
    assert code_file(module.Mine) == "", "as a class that was typed into a notebook"


def test_letters_of_a_formula_are_explained() -> None:
    lines = to_text(described("clr")).splitlines()
    assert (
        "C: the output channels of all convolutions; C3: the output channels of the convolutions larger than 1x1; "
        "D: the number of features, or the width of a transformer's tokens"
    ) in lines
    assert "Code: methods/clr.py" in lines
    assert not any(line.startswith(("C: ", "D: ", "P: ")) for line in to_text(described("sgd")).splitlines())
