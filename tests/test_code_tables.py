"""The tables that are made from the code stand in the pages, as the code has them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from benchmark.backbones import backbones
from benchmark.cli.run import COMMAND
from benchmark.report.glossary import GLOSSARY
from benchmark.streams import streams
from methods import methods
from methods.errors import UserError

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def only_what_the_project_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what other tests, or packages that happen to be installed, have registered."""
    own = ("baselines.", "benchmark.", "methods.")
    for registry in (methods, streams, backbones):
        known = {name: entry for name, entry in registry.entries().items() if entry.target.startswith(own)}
        monkeypatch.setattr(registry, "_entries", known)


@pytest.fixture(scope="module")
def tables(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("code_tables")


def rows(page: str, table: str) -> list[list[str]]:
    """The cells of a table of a page, without its header. A text may have several tables."""
    text = (ROOT / page).read_text(encoding="utf-8")
    (found,) = re.findall(rf"<!-- {table}, by scripts/code_tables\.py -->\n(.*?)<!-- end of the ", text, re.DOTALL)
    cells = [re.split(r" (?<!\\)\| ", line[2:-2]) for line in found.splitlines() if line.startswith("| ")]
    headers = [place + offset for place, row in enumerate(cells) if row[0] == "---" for offset in (-1, 0)]
    return [row for place, row in enumerate(cells) if place not in headers]


def test_the_pages_have_the_tables_as_they_are(tables: ModuleType) -> None:
    found = set()
    for page in tables.pages():
        text = page.read_text(encoding="utf-8")
        found |= set(re.findall(r"^<!-- (.*), by scripts/code_tables\.py -->$", text, re.MULTILINE))
        assert tables.filled(text) == text, f"{page.name}: run python scripts/code_tables.py"
    assert found >= tables.TABLES.keys(), "a table that no page shows"


def test_a_page_read_as_a_file_has_no_directive_in_place_of_a_table() -> None:
    """What GitHub or an editor would show as an empty block. `reference.md` says where its sections are."""
    for page in (ROOT / "docs").rglob("*.md"):
        directives = re.findall(r"^```\{([a-z-]+)\}\n```$", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert directives == (["methods"] if page.name == "reference.md" else []), page.name


def test_what_stood_there_before_is_replaced(tables: ModuleType) -> None:
    old = "a\n<!-- glossary, by scripts/code_tables.py -->\n| old |\n<!-- end of the table -->\nb\n"
    new = tables.filled(old)
    assert "old" not in new
    assert new.startswith("a\n<!-- glossary, by scripts/code_tables.py -->\n| word | means |\n")
    assert new.endswith(" |\n<!-- end of the table -->\nb\n")
    assert tables.filled(new) == new


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!-- words, by scripts/code_tables.py -->\n<!-- end of the table -->", "there is no table 'words'"),
        ("<!-- glossary, by scripts/code_tables.py -->\n", "has another form, or no end"),
    ],
)
def test_a_comment_that_cannot_be_filled_is_an_error(tables: ModuleType, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        tables.filled(text)


def test_every_option_of_run_is_in_the_table() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    COMMAND.add_to(parser)
    flags = [action.option_strings[0] for action in parser._actions]
    found = {row[0].strip("`").split()[0]: row[1:] for row in rows("docs/options.md", "options of run")}
    assert sorted(found) == sorted(flags)
    assert found["--epochs"] == ["`8`", "passes over each task's training images"]
    assert found["--methods"][0] == "required"
    assert found["--scenario"] == ["`task`", "who knows the task of a test image; see [scenarios.md](scenarios.md)"]


def test_the_glossary_has_the_words_of_the_pages() -> None:
    words = {word.replace("\\", ""): meaning for word, meaning in rows("docs/glossary.md", "glossary")}
    assert words == GLOSSARY
    needed = {"cell", "block", "main answer", "recipe", "specification", "label", "task oracle", "state"}
    assert needed <= words.keys()
    for part in ("frozen", "shared", "task", "memory"):
        assert f"{part} (" in words["state"]


def test_every_room_stands_on_its_floor(load_script: Callable[[str], ModuleType]) -> None:
    floors = load_script("house").FLOORS
    expected = [
        [str(number), room.replace(".", "/")] for number, rooms_there in enumerate(floors) for room in rooms_there
    ]
    found = rows("docs/extending/architecture.md", "rooms")
    assert [[floor, room.strip("`/").removesuffix(".py")] for floor, room, _ in found] == expected
    assert all(said.endswith(".") for _, _, said in found), "each says what it is"
