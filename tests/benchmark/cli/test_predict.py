"""`predict` on the command line."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmark.cli.main import main
from benchmark.images.formats import known
from benchmark.streams import image_tree

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
    assert "files without an image's extension are left out: 1 (all/notes.txt)\n" in printed.err
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


def test_a_picture_of_unknown_depth_says_what_helps_here(run: Path, image: Path, capsys: pytest.CaptureFixture) -> None:
    """The command has no --grey-range: the run's own holds."""
    Path("deep").mkdir()
    values = np.arange(64).reshape(8, 8)
    Image.fromarray((values * 64).astype(np.uint16)).save("deep/12 bits.png")
    Image.fromarray((values * 4).astype(np.int32)).save("deep/whole.tif")
    Image.fromarray((values * 4).astype(np.float32)).save("deep/real.tif")
    assert main(["predict", str(run), "--method", "clr", "--task", "shapes", "deep", "--out", "found.csv"]) == 0
    causes = dict(pd.read_csv("found.csv")[["image", "cause"]].values)
    assert list(causes) == ["deep/12 bits.png", "deep/real.tif", "deep/whole.tif"]
    for name, cause in causes.items():
        assert cause.startswith(f"{name} has grey values from 0 to ")
        assert cause.endswith("; save it with 8 bits")
        assert "--grey-range" not in cause


def test_images_of_formats_that_are_not_read_are_rows(
    run: Path, image: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tuple(end for end in image_tree.EXTENSIONS if end not in (".heic", ".heif", ".hif"))
    monkeypatch.setattr(image_tree, "EXTENSIONS", kept)
    missing = [replace(one, needs='pip install ".[heif]"' if one.name == "HEIF" else "") for one in known._FORMATS]
    monkeypatch.setattr(known, "_FORMATS", missing)
    for folder in ("mixed", "unread"):
        Path(folder).mkdir()
        for name in ("b.HEIC", "c.CR2", "d.svg"):
            shutil.copy(image, f"{folder}/{name}")
    shutil.copy(image, "mixed/a.png")
    for name in ("1.txt", "2.csv", "3.md", "LICENSE"):
        Path("mixed", name).write_text("no image")
    command = ["predict", str(run), "--method", "clr", "--task", "shapes", "mixed", "unread"]
    assert main([*command, "--out", "found.csv"]) == 0
    printed = capsys.readouterr().err
    assert "are left out: 4 (mixed/1.txt, mixed/2.csv, mixed/3.md, 1 more)\n" in printed
    assert "6 of 7 images could not be read" in printed
    found = pd.read_csv("found.csv", keep_default_na=False)
    unread = "is an image of a format that is not read; "
    causes = {
        "b.HEIC": unread + 'HEIF is read after: pip install ".[heif]"',
        "c.CR2": unread + "save it as JPEG or PNG",
        "d.svg": unread + "save it as JPEG or PNG",
    }
    wanted = [("mixed/a.png", "")]
    wanted += [
        (f"{folder}/{name}", f"{folder}/{name} {why}") for folder in ("mixed", "unread") for name, why in causes.items()
    ]
    assert list(zip(found["image"], found["cause"], strict=True)) == wanted


def test_a_link_to_nothing_is_called_so(run: Path, image: Path) -> None:
    Path("gone.png").symlink_to("nowhere.png")
    command = ["predict", str(run), "--method", "clr", "--task", "shapes", "gone.png", "--out", "found.csv"]
    assert main(command) == 0
    assert pd.read_csv("found.csv")["cause"][0] == "gone.png is a link to a file that is gone; remove it"
