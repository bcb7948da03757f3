"""Answers to new images are those that the run's own test images got."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from benchmark import load_results
from benchmark.checks.tiny import three_tasks
from benchmark.storage.folder import RunFolder
from benchmark.storage.state import part_path
from benchmark.using import predictor as predicting
from benchmark.using.given import images_of
from benchmark.using.learned import read_learned
from benchmark.using.predictor import COLUMNS, Predictor
from methods.errors import UserError

TASKS = three_tasks()


def options(answer: str, task: str) -> dict[str, str]:
    """How the answers of one name in accuracy.csv are asked for."""
    if answer.startswith("inferred:"):
        return {"infer": answer.removeprefix("inferred:")}
    return {} if answer == "class" else {"task": task}


@pytest.mark.parametrize("name", ["tasked", "classes"])
def test_every_number_of_accuracy_csv(
    name: str, request: pytest.FixtureRequest, pictures: dict[str, Path], one_thread: None
) -> None:
    run = request.getfixturevalue(name)
    results = load_results(run)
    table = pd.read_csv(run / "accuracy.csv")
    last = table[table["learned"] == 3]
    assert set(last["answer"]) >= ({"task", "inferred:centres"} if name == "tasked" else {"class", "derived"})
    predictor = cache(lambda method, order, **asked: results.predictor(method, 0, order, **asked))
    for row in last.to_dict("records"):
        order = row.get("order", 0)
        if order != len(results.manifest.orders) - 1:
            continue
        task = TASKS[results.manifest.orders[order][row["task"] - 1] - 1]
        found = predictor(row["method"], order, **options(row["answer"], task.name))(pictures[task.name])
        right = (found["class"] == task.test.labels.numpy()) & (found["task"] == row["task"])
        assert right.mean() == row["accuracy"], row
        assert (found["task_name"] == task.name)[found["task"] == row["task"]].all()


def test_the_main_answer_needs_no_option(classes: Path, pictures: dict[str, Path]) -> None:
    results, task = load_results(classes), TASKS[1]
    table = results.accuracy[(results.accuracy["learned"] == 3) & (results.accuracy["task"] == 2)]
    for method, answer in (("ncm", "class"), ("clr", "inferred:mahalanobis")):
        found = results.predictor(method)(pictures[task.name])
        right = (found["class"] == task.test.labels.numpy()) & (found["task"] == 2)
        wanted = table[(table["method"] == method) & (table["answer"] == answer)]["accuracy"].item()
        assert right.mean() == wanted, method


def test_a_row_names_task_and_class(tasked: Path) -> None:
    task = TASKS[0]
    found = load_results(tasked).predictor("clr", order=0, task=task.name)(task.test.images[:2])
    assert tuple(found) == COLUMNS
    assert found["image"].tolist() == ["image 0", "image 1"]
    assert found["class_name"].tolist() == [task.classes[label] for label in found["class"]]
    assert found["confidence"].between(1 / len(task.classes) - 1e-6, 1).all()
    assert found["cause"].isna().all()


def test_files_a_folder_a_zip_and_images_in_ram_are_the_same(
    tasked: Path, pictures: dict[str, Path], tmp_path: Path
) -> None:
    task = TASKS[0]
    predictor = load_results(tasked).predictor("psp", task=task.name)
    folder = pictures[task.name]
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    files = sorted(folder.iterdir())
    tensor = task.test.images
    ways = [
        *(folder, archive, files, [str(file) for file in files]),
        *(tensor, tensor.permute(0, 2, 3, 1).numpy(), [Image.open(file) for file in files], list(tensor)),
    ]
    answers = [predictor(way).drop(columns="image") for way in ways]
    for other in answers[1:]:
        pd.testing.assert_frame_equal(other, answers[0])
    assert len(predictor([folder, archive, files[0]])) == 2 * len(files) + 1
    assert predictor(archive)["image"][0] == f"{archive}/000.png"
    assert predictor(files[0])["image"].tolist() == [str(files[0])]


@pytest.mark.parametrize("size", [3, 1000])
def test_a_broken_image_is_a_row_with_its_cause(
    size: int, tasked: Path, pictures: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predicting, "pass_size", lambda pixels: size)
    monkeypatch.setattr("benchmark.images.decoder._CHUNK", 2)
    predictor = load_results(tasked).predictor("clr", task=TASKS[0].name)
    whole = predictor(pictures[TASKS[0].name])
    folder = tmp_path / "images"
    shutil.copytree(pictures[TASKS[0].name], folder)
    (folder / "000b.png").write_bytes((folder / "000.png").read_bytes()[:60])
    (folder / "001b.jpg").write_text("no image")
    (folder / "001c.gif").touch()
    (folder / "gone.png").symlink_to(folder / "nowhere")
    found = predictor(folder)
    broken = found[found["cause"].notna()]
    assert [Path(name).name for name in broken["image"]] == ["000b.png", "001b.jpg", "001c.gif", "gone.png"]
    assert all(str(folder) in cause for cause in broken["cause"])
    assert broken[["task", "task_name", "class", "class_name", "confidence"]].isna().all(axis=None)
    good = found[found["cause"].isna()].reset_index(drop=True)
    assert [Path(name).name for name in good["image"]] == [f"{k:03}.png" for k in range(len(whole))]
    assert good["class"].tolist() == whole["class"].tolist()
    np.testing.assert_allclose(good["confidence"].astype(float), whole["confidence"].astype(float), rtol=1e-5)
    assert len(predictor(folder / "001b.jpg")) == 1, "all that there is may be broken"


def test_images_are_decoded_as_those_of_a_stream(tasked: Path, tmp_path: Path) -> None:
    """Transparent parts on white, greys as colours, and resized to 8x8 as Pillow does with antialiasing."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (20, 30, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "clear.png")
    grey = random.integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    alpha = pixels[..., 3:] / 255
    flat = Image.fromarray(np.rint(pixels[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8))
    images = [np.asarray(flat.resize((8, 8), Image.Resampling.BILINEAR)), np.stack([grey] * 3, 2)]
    predictor = load_results(tasked).predictor("clr", task=TASKS[0].name)
    found, wanted = predictor([tmp_path / "clear.png", tmp_path / "grey.png"]), predictor(images)
    np.testing.assert_allclose(found["confidence"].astype(float), wanted["confidence"].astype(float), atol=5e-3)
    assert found["confidence"][1] == wanted["confidence"][1]
    assert found["class"].tolist() == wanted["class"].tolist()


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"method": "er"}, "--method er is none of the methods of {run}: clr, psp"),
        ({"method": "clr", "seed": 3}, "--seed 3: clr has learned with seed 0 in {run}"),
        ({"method": "clr", "order": 2}, "--order 2: clr has learned with order 0, 1 in {run}"),
        ({"method": "clr", "task": "gone"}, "--task gone is no task of {run}; learned are "),
        ({"method": "clr"}, "clr answers for one task at a time, and the run does not say which: give --task "),
        ({"method": "clr", "infer": "gmm"}, "--infer gmm: the run kept nothing for this rule"),
        ({"method": "clr", "infer": "all"}, "--infer all: an image has one answer; give one rule"),
        ({"method": "clr", "infer": "sure"}, "--infer: unknown rule 'sure': "),
        ({"method": "clr", "infer": "energy", "task": TASKS[0].name}, "--task task 1 and --infer energy both say"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(asked: dict[str, object], sentence: str, tasked: Path) -> None:
    sentence = sentence.format(run=tasked).replace("task 1", TASKS[0].name)
    with pytest.raises(UserError, match=re.escape(sentence)) as error:
        load_results(tasked).predictor(**asked)
    assert "\n" not in str(error.value)


def test_a_task_is_named_by_its_number_too(tasked: Path, pictures: dict[str, Path]) -> None:
    images = pictures[TASKS[0].name]
    named = load_results(tasked).predictor("clr", task=TASKS[1].name)(images)
    numbered = load_results(tasked).predictor("clr", task=str(named["task"][0]))(images)
    pd.testing.assert_frame_equal(named, numbered)


def test_a_misspelt_task_is_answered_with_the_closest(tasked: Path) -> None:
    name = TASKS[0].name
    with pytest.raises(
        UserError, match=f"--task {name.upper()} is no task of .*; did you mean '{name}'[?] learned are "
    ):
        load_results(tasked).predictor("clr", task=name.upper())


@pytest.mark.parametrize("images", [[], ["gone.png"], [3], [np.zeros((8, 8, 3))], ["a.png", np.zeros((8, 8), "uint8")]])
def test_what_is_no_image_is_refused(images: list[object], tasked: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    predictor = load_results(tasked).predictor("clr", task=TASKS[0].name)
    with pytest.raises(UserError, match=r"images|there is no file or folder gone\.png"):
        predictor(images)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty has no image files"):
        predictor(tmp_path / "empty")


def test_a_run_that_goes_on_answers_with_what_it_has(
    learn: Callable[..., Path], tmp_path: Path, pictures: dict[str, Path]
) -> None:
    run = learn(tmp_path / "on", "clr", "sgd")
    table = load_results(run).accuracy
    for number in (2, 3):
        (run / "cells" / "clr" / "seed-0" / f"after-{number}.json").unlink()
    manifest = RunFolder(run).read_manifest()
    manifest.cells[0]["status"], manifest["finished"] = "running", None
    RunFolder(run).write_manifest(manifest)
    predictor = Predictor(read_learned(RunFolder(run), "clr"))
    found = predictor(pictures[TASKS[0].name])
    first = table[(table["method"] == "clr") & (table["learned"] == 1)]["accuracy"].item()
    assert (found["class"] == TASKS[0].test.labels.numpy()).mean() == first, "the only task is meant"
    with pytest.raises(UserError, match=f"--task {TASKS[2].name} has not been learned yet by clr"):
        Predictor(read_learned(RunFolder(run), "clr"), TASKS[2].name)
    (run / "cells" / "clr" / "seed-0" / "after-1.json").unlink()
    with pytest.raises(UserError, match="clr, seed 0 has learned no task yet"):
        read_learned(RunFolder(run), "clr")
    path = part_path(run / "cells" / "sgd" / "seed-0", "task-2")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match=re.escape(f"{path} is damaged or missing")):
        read_learned(RunFolder(run), "sgd")
    manifest.cells[1] |= {"status": "failed", "cause": "out of luck"}
    RunFolder(run).write_manifest(manifest)
    with pytest.raises(UserError, match="--method sgd: sgd, seed 0 failed: out of luck"):
        read_learned(RunFolder(run), "sgd")


def test_answers_do_not_need_the_data_set_nor_the_kept_answers(tasked: Path, tmp_path: Path) -> None:
    """Only the state and the names are read, and nothing is written."""
    run = tmp_path / "copy"
    shutil.copytree(tasked, run)
    for path in [*run.glob("*.csv"), *run.rglob("answers-*"), *run.rglob("inferred-*")]:
        path.unlink()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    for infer in ("energy", "mahalanobis"):
        found = Predictor(read_learned(RunFolder(run), "clr", order=1), infer=infer)(images)
        wanted = load_results(tasked).predictor("clr", order=1, infer=infer)(images)
        pd.testing.assert_frame_equal(found, wanted)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_run_without_names_of_classes_has_their_numbers(tasked: Path, tmp_path: Path) -> None:
    run = tmp_path / "old"
    shutil.copytree(tasked, run)
    shutil.rmtree(run / "test-images")
    learned = read_learned(RunFolder(run), "clr")
    assert learned.class_names == (None, None, None)
    found = Predictor(learned, TASKS[0].name)(TASKS[0].test.images)
    named = load_results(tasked).predictor("clr", task=TASKS[0].name)(TASKS[0].test.images)
    assert found["class"].tolist() == named["class"].tolist()
    assert found["class_name"].isna().all()


def test_a_picture_that_pillow_cannot_finish_reading_is_a_row_with_its_cause(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    pictures = images_of([Image.open(tmp_path / "a.png"), Image.open(tmp_path / "cut.png")])
    assert pictures.read(0).size == (64, 64)
    with pytest.raises(UserError, match="image 1 cannot be read"):
        pictures.read(1)


@pytest.mark.parametrize("given", [3, None])
def test_what_is_neither_a_path_nor_an_image_is_refused(given: Any) -> None:
    with pytest.raises(UserError, match="is neither a path nor an image"):
        images_of(given)


def test_a_damaged_record_is_named_and_no_older_state_answers(tasked: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tasked, run)
    (path,) = run.glob("cells/clr/seed-0/after-3.json")
    path.write_text("junk")
    with pytest.raises(UserError, match=re.escape(f"{path} is damaged; give the command of the run again")):
        read_learned(RunFolder(run), "clr")
