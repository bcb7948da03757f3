"""`cache` lists what is there, and `cache --clear` removes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.images import store
from benchmark.images.store import About, build_store, store_folder


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def build(key: str, about: About) -> None:
    build_store(64 * key, about, lambda path: path.write_bytes(bytes(about.bytes)))


def test_an_empty_cache_says_so(capsys):
    for command in (["cache"], ["cache", "--clear"]):
        assert main(command) == 0
        assert capsys.readouterr().out == f"there are no decoded images in {store_folder()}\n"


def test_stores_are_listed_in_the_order_they_were_made(capsys):
    build("b", About("digits", "train", 1200, 32))
    build("a", About("cells", "test", 20, 224))
    (store_folder() / f"{64 * 'c'}.partial").mkdir()
    (store_folder() / f"{64 * 'c'}.partial" / "pixels").write_bytes(bytes(2_000_000))
    (store_folder() / f"{64 * 'd'}.lock").touch()
    assert main(["cache"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:5] for line in lines[:5]] == [
        ["task", "split", "images", "pixels", "MB"],
        ["digits", "train", "1,200", "32x32", "3.7"],
        ["cells", "test", "20", "224x224", "3.0"],
        ["(unfinished)", "2.0"],
        ["total", "1,220", "8.7"],
    ]
    assert lines[-1] == f"in {store_folder()}"


def test_the_place_that_images_come_from_is_listed(capsys):
    build("a", About("t1", "train", 20, 224, place="/data/中文/t1"))
    build("b", About("t1", "train", 20, 224, place="/data/b.zip"))
    assert main(["cache"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[-1] == "from"
    assert [line.split()[-1] for line in lines[:2]] == ["/data/中文/t1", "/data/b.zip"]


@pytest.mark.parametrize(
    "content",
    ["", "[" * 100_000, "[1]", '{"task": 1}', '{"created": "yesterday"}', '{"images": %s}' % ("9" * 5000)],
    ids=["empty", "deep", "list", "few entries", "no date", "long number"],
)
def test_damaged_stores_are_listed_and_cleared(capsys, content):
    build("a", About("cells", "test", 20, 224))
    build("b", About("digits", "train", 1200, 32))
    (store_folder() / (64 * "b") / "meta.json").write_text(content)
    (store_folder() / (64 * "b") / "gone").symlink_to("nowhere")
    assert main(["cache"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1][:3] == ["cells", "test", "20"]
    assert lines[2][0] == "(damaged)"
    assert lines[3][:2] == ["total", "20"]
    assert main(["cache", "--clear"]) == 0
    assert list(store_folder().iterdir()) == []


def test_a_date_that_is_none_is_damage(capsys):
    build("a", About("cells", "test", 20, 224))
    meta = store_folder() / (64 * "a") / "meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"created": "yesterday"}))
    assert main(["cache"]) == 0
    assert "(damaged)" in capsys.readouterr().out


def test_clear_removes_everything_and_says_how_much(capsys):
    build("b", About("digits", "train", 1000, 32))
    (store_folder() / f"{64 * 'c'}.partial").mkdir()
    (store_folder() / f"{64 * 'c'}.partial" / "pixels").write_bytes(bytes(2_000_000))
    assert main(["cache", "--clear"]) == 0
    assert capsys.readouterr().out == f"freed 5.1 MB in {store_folder()}\n"
    assert list(store_folder().iterdir()) == []


def test_what_is_being_made_is_left(capsys, monkeypatch):
    build("b", About("digits", "train", 1000, 32))
    monkeypatch.setattr(store, "remove_store", lambda key: False)
    assert main(["cache", "--clear"]) == 0
    assert "left what other processes are decoding right now" in capsys.readouterr().err


def test_it_needs_no_torch():
    code = (
        "import sys; from benchmark.cli.main import main; main(['cache']); main(['cache', '--clear']); "
        "print('torch' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert printed.splitlines()[-1] == "False"
    assert not Path(store_folder()).exists()
