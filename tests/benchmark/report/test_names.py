"""Whatever tasks and methods are called, every file of a run says it as it is, and nothing obeys it."""

from __future__ import annotations

import csv
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmark.cli.main import main
from benchmark.files import folder_name
from benchmark.results.tables import read_table
from methods import methods
from methods.registry import load_plugin

TASKS = ("=1+1", "-1", "[red]x", "a,b", '"q"', "<b>&amp;", "{x}%s", "$a_b$", "b\\|_#", " lead ", "größer", "NA", "@007")
METHODS = ("NA", "=2+3", "[red]m_1$x$", "<i>&amp;a|b*~", "007")
PLUGIN = f"""
from baselines.linear_probe import LinearProbe
from methods import methods

for name in {METHODS!r}:
    methods.register(name)(type("Odd", (LinearProbe,), {{"__qualname__": name}}))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of these names, and what it has printed."""
    place = tmp_path_factory.mktemp("names")
    random = np.random.RandomState(0)
    for task in TASKS:
        for colour, name in ((20, "=dark"), (160, "[b]light")):
            for split, count in (("train", 6), ("test", 3)):
                folder = place / "tasks" / task / split / name
                folder.mkdir(parents=True)
                for number in range(count):
                    pixels = random.randint(colour, colour + 60, (8, 8, 3)).astype(np.uint8)
                    Image.fromarray(pixels).save(folder / f"{number}.png")
    (place / "plugin.py").write_text(PLUGIN)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(place)
        patched.setattr(methods, "_entries", dict(methods._entries))
        load_plugin("plugin.py")
        command = [
            "run",
            "--stream",
            "folder:tasks",
            "--image-size",
            "8",
            "--epochs",
            "1",
            "--jobs",
            "1",
            "--seeds",
            "2",
        ]
        assert main([*command, "--methods", ",".join(METHODS), "--out", ".", "--name", "run"]) == 0
    return place


def test_csv_files_come_back_as_they_were_written(place: Path):
    run = place / "run"
    for name, column, expected in (
        ("tasks", "task_name", sorted(TASKS)),
        ("summary", "method", METHODS),
        ("parameters", "method", METHODS),
        ("compute", "method", METHODS),
    ):
        assert read_table(run / f"{name}.csv")[column].tolist() == list(expected)
        with (run / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            assert [row[column] for row in csv.DictReader(file)] == list(expected)
    accuracy = read_table(run / "accuracy.csv")
    assert set(accuracy["task_name"]) == set(TASKS)
    assert set(accuracy["method"]) == set(METHODS)
    # As results/README.md says.
    told = {"dtype": {"method": str, "task_name": str}, "keep_default_na": False, "na_values": [""]}
    assert pd.read_csv(run / "accuracy.csv", **told).equals(accuracy)


def test_every_figure_is_xml(place: Path):
    figures = list((place / "run" / "figures").glob("*.svg"))
    assert len(figures) >= 5
    for path in figures:
        ElementTree.parse(path)


def test_the_page_shows_names_and_no_elements(place: Path):
    page = (place / "run" / "report.html").read_text()
    texts: list[str] = []

    class Reader(HTMLParser):
        def handle_data(self, data: str) -> None:
            texts.append(data)

    Reader().feed(page)
    shown = "".join(texts)
    for name in (*TASKS, *METHODS):
        assert name in shown
    assert "<b>" not in page
    assert "<i>" not in page


def test_summaries_escape_what_would_be_obeyed(place: Path):
    """In Markdown by backslashes; in LaTeX by commands, and so that no row begins with a star or a bracket."""
    rows = (place / "run" / "summary.md").read_text().splitlines()
    cells = [row.split(" | ")[0].removeprefix("| ") for row in rows if row.startswith("| ")]
    for name, text in (("[red]m_1$x$", r"\[red\]m\_1\$x\$"), ("<i>&amp;a|b*~", r"\<i\>\&amp;a\|b\*\~")):
        assert re.sub(r"\\(.)", r"\1", text) == name
        assert text in cells
    tex = (place / "run" / "summary.tex").read_text()
    tilde = r"\textless{}i\textgreater{}\&amp;a\textbar{}b{*}\textasciitilde{} &"
    for text in (r"{[}red{]}m\_1\$x\$ &", tilde):
        assert f"\n{text}" in tex
    assert not re.search(r"^[\[*]", tex, re.MULTILINE)


def test_a_terminal_shows_them(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(place)
    shutil.copytree("run", "other", dirs_exist_ok=True)
    assert main(["compare", "run", "other", "--out", ".", "--name", "both"]) == 0
    printed = capsys.readouterr().out.splitlines()
    for name in METHODS:
        assert any(line.startswith(f"{name} ") for line in printed)


OLD = "esc\x1b]0;title\x07\rnew\nline\x00\udce9\ufffe\u202e"
ESCAPED = r"esc\x1b]0;title\x07\rnew\nline\x00\udce9\ufffe\u202e"


def test_control_characters_of_older_runs_are_escaped(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = tmp_path / "old"
    shutil.copytree(place / "run", run)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["tasks"][0]["task_name"] = OLD
    for cell in manifest["cells"]:
        if cell["method"] == "=2+3":
            cell["method"] = OLD
    manifest["settings"]["methods"][1] = OLD
    manifest["stream"]["spec"] = f"folder:{OLD}"
    manifest["command"].append(OLD)
    (run / "manifest.json").write_text(json.dumps(manifest))
    (run / "cells" / "=2+3").rename(run / "cells" / folder_name(OLD))
    assert main(["report", str(run)]) == 0
    assert main(["compare", str(run), str(place / "run"), "--out", str(tmp_path), "--name", "both"]) == 2
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", "".join(capsys.readouterr()))

    for path in (*run.glob("*.csv"), *run.glob("summary.*"), run / "report.html", *run.glob("figures/*.svg")):
        text = path.read_text()
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\u202e]", text)
        if path.suffix == ".svg":
            ElementTree.fromstring(text)
    assert ESCAPED in read_table(run / "tasks.csv")["task_name"].tolist()
    assert ESCAPED in read_table(run / "summary.csv")["method"].tolist()
    assert ESCAPED.replace("\\", "\\\\").replace("]", r"\]") in (run / "summary.md").read_text()
    assert ESCAPED in (run / "report.html").read_text()
