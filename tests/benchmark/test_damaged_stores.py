"""A run on decoded images that are not what was written: a warning, and the same numbers as ever."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.images.store import store_folder

OPTIONS = "run --methods linear-probe --jobs 1 --tasks 2 --train-images 40 --test-images 20 --epochs 1 --device cpu"


@pytest.fixture
def learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_report: None, exact: Callable) -> Callable:
    """learn("name") -> the tables of a new run."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(name: str) -> dict[str, str]:
        assert main([*OPTIONS.split(), "--out", str(tmp_path), "--name", name]) == 0
        return exact(tmp_path / name)

    return run


def descriptions() -> dict[str, Path]:
    """Of each split of the first task, its store."""
    stores = {}
    for path in store_folder().glob("*/meta.json"):
        about = json.loads(path.read_text())
        stores[f"{about['task']}, {about['split']}"] = path.parent
    return stores


def change_every_third_byte(store: Path) -> None:
    content = bytearray((store / "pixels").read_bytes())
    content[::3] = bytes(255 - value for value in content[::3])
    (store / "pixels").write_bytes(content)


def forget_the_date(store: Path) -> None:
    about = json.loads((store / "meta.json").read_text())
    (store / "meta.json").write_text(json.dumps({**about, "created": "never"}))


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (change_every_third_byte, "its bytes are not those that were written"),
        (forget_the_date, "its description is damaged"),
    ],
    ids=["pixels", "description"],
)
def test_a_run_warns_and_decodes_again(learn: Callable, damage: Callable, why: str, capsys: pytest.CaptureFixture[str]):
    before = learn("before")
    for store in descriptions().values():
        damage(store)
    capsys.readouterr()
    assert learn("after") == before
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert why in warning
    assert "and 5 other splits" in warning
    learn("again")
    assert "warning" not in capsys.readouterr().err


def test_exchanged_stores_of_one_size_change_nothing(learn: Callable, capsys: pytest.CaptureFixture[str]):
    before = learn("before")
    stores = descriptions()
    first, second = (stores[name] for name in sorted(stores) if name.endswith("test"))
    assert (first / "pixels").stat().st_size == (second / "pixels").stat().st_size
    aside = first.with_name("aside")
    first.rename(aside)
    second.rename(first)
    aside.rename(second)
    capsys.readouterr()
    assert learn("after") == before
    assert "(it holds other images) and 1 other split" in capsys.readouterr().err
