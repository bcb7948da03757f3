"""`predict` on the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmark.cli.main import main

ANSWERS = "image,task,task_name,class,class_name,confidence,cause"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two tasks with two seeds."""
    folder = tmp_path_factory.mktemp("cli")
    with pytest.MonkeyPatch.context() as quick:
        for name in ("draw_figures", "write_page"):
            quick.setattr(f"benchmark.report.write.{name}", lambda *arguments, **options: None)
        command = (
            "run --methods clr --tasks 2 --epochs 1 --train-images 40 --test-images 20 --seeds 2 --jobs 1 --name a"
        )
        assert main([*command.split(), "--out", str(folder)]) == 0
    return folder / "a"


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.full((40, 50, 3), 90, dtype=np.uint8)).save("one.png")
    return Path("one.png")


def test_one_image(run: Path, image: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["predict", str(run), "--method", "clr", "--task", "shapes", str(image)]) == 0
    printed = capsys.readouterr()
    header, row, *others = printed.out.splitlines()
    assert header == ANSWERS
    assert not others
    assert row.startswith("one.png,2,shapes,")
    assert printed.err.splitlines()[-1] == "this is seed 0; --seed and --order choose others: seed 1"


def test_a_folder_with_broken_images_into_a_file(run: Path, image: Path, capsys: pytest.CaptureFixture) -> None:
    Path("all").mkdir()
    for name in ("b.png", "d.png"):
        shutil.copy(image, f"all/{name}")
    Path("all/a.png").write_text("no image")
    Path("all/notes.txt").write_text("no image's extension")
    command = ["predict", str(run), "--method", "clr", "--seed", "1", "--infer", "energy", "all", str(image)]
    assert main([*command, "--out", "found.csv"]) == 0
    printed = capsys.readouterr()
    assert not printed.out
    assert "files without an image's extension are left out: 1\n" in printed.err
    assert "1 of 4 images could not be read; the column cause says why\n" in printed.err
    found = pd.read_csv("found.csv")
    assert found["image"].tolist() == ["all/a.png", "all/b.png", "all/d.png", "one.png"]
    assert found["cause"].isna().tolist() == [False, True, True, True]
    assert found["class_name"][1:].nunique() == 1


def test_names_that_an_older_version_did_not_keep(
    run: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(run, tmp_path / "old")
    shutil.rmtree(tmp_path / "old" / "test-images")
    assert main(["predict", "old", "--method", "clr", "--seed", "0", "--task", "digits", str(image)]) == 0
    assert "old has no names of classes, as an older version made it: only their numbers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("RUN --method er one.png", "--method er is none of the methods of RUN: clr"),
        ("RUN --method clr one.png", "clr answers for one task at a time, and the run does not say which: give --task"),
        ("RUN --method clr --task digits gone.png", "there is no file or folder gone.png; give image files, folders"),
        ("RUN --method clr --task digits one.png --out gone/a.csv", "--out: there is no folder gone; make it"),
        ("gone --method clr one.png", "predict: there is no run folder gone; give its path, or its name in results/"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(
    words: str, sentence: str, run: Path, image: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["predict", *(str(run) if word == "RUN" else word for word in words.split())]) == 2
    printed = capsys.readouterr()
    assert f"error: {sentence.replace('RUN', str(run))}" in printed.err
    assert not printed.out
