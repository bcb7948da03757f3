"""The figure of docs/scenarios.md is what its script draws, is complete in itself, and asks for what there is."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree as ET

import pytest

from methods.scenarios import Scenario

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("scenarios_figure")


def test_the_documentation_has_what_the_script_draws(script: ModuleType) -> None:
    assert script.FIGURE.read_text(encoding="utf-8") == script.figure(), "run python scripts/scenarios_figure.py"
    page = (ROOT / "docs" / "scenarios.md").read_text()
    assert re.search(r"^# .*\n\n!\[[^\]]{80,}\]\(figures/scenarios\.svg\)", page), (
        "it comes first, with a text for the blind"
    )


def test_each_scenario_is_in_it(script: ModuleType) -> None:
    assert set(re.findall(r"--scenario (\w+)", script.figure())) == set(typing.get_args(Scenario))


def test_it_needs_nothing_else_and_has_colours_for_light_and_dark(script: ModuleType) -> None:
    text = script.figure()
    root = ET.fromstring(text)
    assert len(text) < 20_000
    assert "href" not in text
    assert "url(" not in text
    light, dark = re.findall(r"--card: (#\w+); --text: (#\w+)", text)
    assert [light[0] > light[1], dark[0] < dark[1]] == [True, True], "dark on light, and light on dark"
    colours = [set(re.findall(r"(--\w+):", block)) for block in re.findall(r"svg \{([^}]*)\}", text)]
    assert colours[0] == colours[1] == set(re.findall(r"var\((--\w+)\)", text))
    # Its own background covers it all.
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    (card,) = (element for element in root if element.attrib.get("class") == "card")
    assert (float(card.attrib["width"]), float(card.attrib["height"])) == (width - 1, height - 1)
