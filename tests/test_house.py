"""The house: arrows between rooms point one way, and each place has only the files that it may have."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from methods import methods

ROOT = Path(__file__).parents[1]


def load() -> ModuleType:
    """The script; it is not a module of a package."""
    spec = importlib.util.spec_from_file_location("house", ROOT / "scripts" / "house.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # The dataclass in the script looks there.
    sys.modules["house"] = module
    spec.loader.exec_module(module)
    return module


house = load()


def test_arrows_point_one_way():
    assert house.house(ROOT).complaints() == []


def test_every_room_has_a_floor_and_every_floor_a_room():
    named = [room for rooms in house.FLOORS for room in rooms]
    assert len(named) == len(set(named))
    assert set(named) == set(house.house(ROOT).rooms)


def test_baselines_are_methods():
    """One file per method; shared code is in rooms of its own."""
    files = {path.stem for path in (ROOT / "baselines").glob("*.py")} - {"__init__"}
    targets = {methods._entries[name].target for name in methods.names()}
    assert files == {target.removeprefix("baselines.").partition(":")[0] for target in targets if _at_top(target)}


def _at_top(target: str) -> bool:
    module = target.partition(":")[0]
    return module.startswith("baselines.") and module.count(".") == 1


def build(root: Path, **files: str) -> Path:
    """A project of these files: benchmark__results__join="import ..." is benchmark/results/join.py."""
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "benchmark").mkdir(exist_ok=True)
    return root


def complaints(root: Path, **files: str) -> list[str]:
    return house.house(build(root, **files)).complaints()


def test_a_good_house(tmp_path: Path):
    files = {
        "methods__method": "",
        "benchmark__config": "import json\nfrom methods.method import Method",
        "benchmark__results__join": "from benchmark.config import Settings",
        "benchmark__report__page": "def draw():\n    from benchmark.results import join",
    }
    assert complaints(tmp_path, **files) == []
    assert house.floors(house.house(tmp_path).rooms) == {
        **{"methods": 0, "benchmark.config": 1},
        **{"benchmark.results": 2, "benchmark.report": 3},
    }


def test_an_arrow_that_goes_up(tmp_path: Path):
    said = (
        "benchmark.results must not import benchmark.report, as benchmark.results.join does with benchmark.report.page"
    )
    where = "def late():\n    if TYPE_CHECKING:\n        from benchmark.report.page import Page"
    assert complaints(tmp_path, benchmark__report__page="", benchmark__results__join=where) == [said]


def test_files_in_a_circle(tmp_path: Path):
    files = {
        "benchmark__results__a": "import benchmark.results.b",
        "benchmark__results__b": "from benchmark.results import c",
        "benchmark__results__c": "from benchmark.results.a import x",
    }
    circle = "benchmark.results.a and benchmark.results.b and benchmark.results.c import each other"
    assert complaints(tmp_path, **files) == [circle]


def test_rooms_in_a_circle(tmp_path: Path):
    """Rooms form a circle although no files do."""
    files = {
        "benchmark__streams__a": "import benchmark.backbones.c",
        "benchmark__streams__b": "",
        "benchmark__backbones__c": "",
        "benchmark__backbones__d": "import benchmark.streams.b",
    }
    assert complaints(tmp_path, **files) == ["benchmark.backbones and benchmark.streams import each other"]


def test_a_room_without_a_floor(tmp_path: Path):
    said = "benchmark.cellar must not import methods, as benchmark.cellar.wine does with methods.method"
    assert complaints(tmp_path, methods__method="", benchmark__cellar__wine="import methods.method") == [said]


def test_too_many_files_at_the_top(tmp_path: Path):
    for number in range(9):
        build(tmp_path)
        (tmp_path / "benchmark" / f"notes-{number}.txt").touch()
    assert complaints(tmp_path) == ["9 files lie at the top of benchmark/, more than 8"]


def test_anyone_can_run_the_script(tmp_path: Path, capsys: pytest.CaptureFixture):
    build(tmp_path, methods__method="", benchmark__config="import methods.method")
    assert house.main([str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert " 0 methods: -\n 1 benchmark.config: methods\n" in said
    assert "2 rooms, 1 arrows, 0 of them upward, 0 circles of files and 0 of rooms\n" in said
    build(tmp_path, methods__method="import benchmark.config")
    assert house.main([str(tmp_path)]) == 1
    assert "methods must not import benchmark.config" in capsys.readouterr().out
