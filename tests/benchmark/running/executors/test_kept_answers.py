"""Answers in a run's folder: damaged ones are given again, and folders of earlier versions, without any, go on."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from benchmark.config import Execution, Settings
from benchmark.planning.preparation import Prepared
from benchmark.report.page import write_page
from benchmark.report.surest import pictured
from benchmark.results.join import joined
from benchmark.results.run import collect, read
from benchmark.running.runner import run
from benchmark.storage.answers import answers_path, read_answers, references
from benchmark.storage.folder import RunFolder
from benchmark.storage.labels import labels_path, read_labels
from benchmark.storage.records import read_records, record_path, write_record
from benchmark.storage.thumbnails import read_thumbnails, thumbnails_path
from benchmark.streams.base import Stream, Task
from methods.configured import configure
from methods.network import Network


@pytest.fixture(autouse=True)
def _quick(quick_report: None, one_thread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.learning.memory.gc.collect", lambda: 0)


@pytest.fixture
def go(tiny_tasks: tuple[Task, ...], tiny_network: Network, make_listener: Callable) -> Callable[..., Any]:
    """go(folder, "clr", "sgd") -> what was heard of a run of these methods, new or going on."""

    def start(folder: Path, *names: str, orders: int = 1, **options: Any) -> Any:
        settings = Settings(methods=names, epochs=1, batch_size=8, orders=orders)
        methods = tuple(map(configure, names))
        prepared = Prepared(settings, methods, Stream("tiny", tiny_tasks), tiny_network, torch.device("cpu"))
        heard = make_listener()
        run(prepared, Execution(**{"jobs": 1, **options}), folder, [], heard)
        return heard

    return start


def files(folder: Path) -> dict[str, bytes]:
    """Each file of the cells but the records, in which seconds are."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in (folder / "cells").rglob("*")
        if path.is_file() and path.suffix != ".json"
    }


def forget_answers(folder: Path) -> None:
    """Make a run's folder as an earlier version has left it."""
    shutil.rmtree(folder / "test-images")
    for path in folder.rglob("answers-*.safetensors"):
        path.unlink()
    for cell in (folder / "cells").glob("*/*"):
        for record in read_records(cell):
            del record["answers"]
            for entry in record["evaluated"]:
                entry.pop("answers")
            write_record(record_path(cell, record["learned"]), record)


def test_each_answer_is_kept_once(go: Callable, tmp_path: Path, tiny_tasks: tuple[Task, ...]) -> None:
    """What a method that isolates tasks has answered stands; the others answer to all tasks again."""
    go(tmp_path, "clr", "sgd")
    for method, expected in (
        ("clr", [{"own"}, {"own"}, {"own"}]),
        ("sgd", [{"own"}, {"1", "own"}, {"1", "2", "own"}]),
    ):
        cell = RunFolder(tmp_path).cell(method, 0, 0)
        records = read_records(cell)
        assert [read_answers(cell, record).keys() for record in records] == expected
        for record in records:
            for entry in record["evaluated"]:
                place = references(record)[entry["task"]]
                kept = read_answers(cell, records[place.learned - 1])[place.name]
                labels = tiny_tasks[entry["task"] - 1].test.labels.numpy()
                assert entry["accuracy"] == (kept.classes == labels).mean()


def test_labels_are_kept_once_for_all_cells(go: Callable, tmp_path: Path, tiny_tasks: tuple[Task, ...]) -> None:
    go(tmp_path, "clr", "sgd-ll", orders=2)
    assert len(list(tmp_path.rglob("*images*/task-*"))) == 3
    for number, task in enumerate(tiny_tasks, 1):
        kept = read_labels(tmp_path, number)
        assert kept is not None
        assert (kept.classes, kept.files) == (task.classes, ())
        assert kept.labels.tolist() == task.test.labels.tolist()


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize("method", ["clr", "sgd"])
@pytest.mark.parametrize("damage", ["cut", "removed"])
@pytest.mark.parametrize("number", [1, 3])
def test_damaged_answers_are_given_again(
    go: Callable, tmp_path: Path, exact: Callable, parallel: bool, method: str, damage: str, number: int
) -> None:
    """Nothing is learned again where the last state gives them: `sgd` has lost the state that gave those of task 1."""
    go(tmp_path / "whole", method)
    shutil.copytree(tmp_path / "whole", tmp_path / "damaged")
    file = answers_path(RunFolder(tmp_path / "damaged").cell(method, 0, 0), number)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    else:
        file.unlink()
    heard = go(tmp_path / "damaged", method, parallel_tasks=parallel)
    assert heard.failures == []
    assert [file.name in text for text in heard.warnings] == [True]
    assert [task for _, task in heard.tasks] == ([1, 2, 3] if (method, number) == ("sgd", 1) else [])
    assert files(tmp_path / "damaged") == files(tmp_path / "whole")
    assert exact(tmp_path / "damaged") == exact(tmp_path / "whole")


def test_damaged_answers_of_a_task_learned_alone(go: Callable, tmp_path: Path) -> None:
    """Task 2 is missing, and the answers of task 3 are damaged while it waits for task 2."""
    go(tmp_path / "whole", "clr", parallel_tasks=True)
    shutil.copytree(tmp_path / "whole", tmp_path / "damaged")
    cell = RunFolder(tmp_path / "damaged").cell("clr", 0, 0)
    record_path(cell, 3).rename(cell / "alone-3.json")
    record_path(cell, 2).unlink()
    answers_path(cell, 3).unlink()
    go(tmp_path / "damaged", "clr", parallel_tasks=True)
    assert files(tmp_path / "damaged") == files(tmp_path / "whole")


def test_answers_go_with_a_task_to_another_order(go: Callable, tmp_path: Path) -> None:
    """The two orders have the same answers to each task, and each order learned by itself has them too."""
    go(tmp_path / "shared", "clr", orders=2)
    go(tmp_path / "apart", "clr", orders=2, verify_evaluations=True)
    assert files(tmp_path / "shared") == files(tmp_path / "apart")
    assert len([name for name in files(tmp_path / "shared") if "answers-" in name]) == 6


def test_changed_answers_are_found(go: Callable, tmp_path: Path) -> None:
    """Both answers are wrong before and after, so that the accuracy stays."""
    go(tmp_path, "clr")
    cell = RunFolder(tmp_path).cell("clr", 0, 0)
    record_path(cell, 3).unlink()
    records = read_records(cell)
    path = answers_path(cell, 1)
    content = bytearray(path.read_bytes())
    # The last bytes are answers: single bytes stand behind wider values.
    wrong = content[-20:]
    labels = read_labels(tmp_path, 1)
    assert labels is not None
    place = next(k for k in range(20) if wrong[k] != labels.labels[k])
    content[-20 + place] = 3 - wrong[place] - labels.labels[place]
    path.write_bytes(content)
    for record in records:
        record["answers"] = record["answers"] if record["learned"] == 2 else hashlib.sha256(content).hexdigest()
        write_record(record_path(cell, record["learned"]), record)
    assert go(tmp_path, "clr").failures == [], "what is known is trusted"
    record_path(cell, 3).unlink()
    ((name, cause),) = go(tmp_path, "clr", verify_evaluations=True).failures
    assert name == "clr, seed 0"
    assert "task 1 after 3 tasks gives other answers than before" in cause


def test_a_run_of_an_earlier_version_is_read_and_goes_on(go: Callable, tmp_path: Path) -> None:
    go(tmp_path / "new", "clr", "sgd")
    shutil.copytree(tmp_path / "new", tmp_path / "old")
    forget_answers(tmp_path / "old")
    new, old = (RunFolder(tmp_path / name) for name in ("new", "old"))
    results = collect(old, old.read_manifest())
    pd.testing.assert_frame_equal(results.accuracy, collect(new, new.read_manifest()).accuracy)
    assert results.classes.empty
    assert results.summary["expected_calibration_error"].isna().all()
    assert results.summary["average_incremental_accuracy"].notna().all()

    for method in ("clr", "sgd"):
        record_path(old.cell(method, 0, 0), 3).unlink()
    heard = go(tmp_path / "old", "clr", "sgd")
    assert (heard.failures, [task for _, task in heard.tasks]) == ([], [3, 1, 2, 3])
    results = collect(old, old.read_manifest())
    pd.testing.assert_frame_equal(results.accuracy, collect(new, new.read_manifest()).accuracy)
    # Of clr's tasks only the last one was evaluated since.
    assert sorted(results.classes.query("method == 'clr'")["task"].unique()) == [3]
    assert results.summary.set_index("method")["expected_calibration_error"].isna().to_dict() == {
        "clr": True,
        "sgd": False,
    }


def test_accuracies_are_counted_from_answers(go: Callable, tmp_path: Path) -> None:
    """The record says otherwise, and is only believed where the answers or the labels are not kept."""
    go(tmp_path, "sgd")
    folder = RunFolder(tmp_path)
    manifest, cell = folder.read_manifest(), folder.cell("sgd", 0, 0)
    before = collect(folder, manifest)
    for record in read_records(cell):
        record["evaluated"] = [{**entry, "accuracy": 0.125} for entry in record["evaluated"]]
        write_record(record_path(cell, record["learned"]), record)
    pd.testing.assert_frame_equal(collect(folder, manifest).accuracy, before.accuracy)
    labels_path(tmp_path, 2).unlink()
    after = collect(folder, manifest).accuracy
    assert (after["accuracy"] == 0.125).tolist() == (after["task"] == 2).tolist()


def test_a_finished_run_that_is_read_has_what_its_process_had(go: Callable, tmp_path: Path) -> None:
    go(tmp_path, "clr", "sgd", orders=2)
    folder = RunFolder(tmp_path)
    made, found = collect(folder, folder.read_manifest()), read(folder)
    for name in ("summary", "classes", "accuracy"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(made, name), check_dtype=False)


def test_classes_by_hand(go: Callable, tmp_path: Path, tiny_tasks: tuple[Task, ...]) -> None:
    go(tmp_path, "sgd")
    cell = RunFolder(tmp_path).cell("sgd", 0, 0)
    given = read_answers(cell, read_records(cell)[-1])["1"].classes
    labels = tiny_tasks[0].test.labels.numpy()
    table = pd.read_csv(tmp_path / "classes.csv").query("task == 1")
    assert list(table) == [
        *("method", "seed", "task", "task_name", "class", "class_name", "images", "recall", "precision", "f1"),
    ]
    assert table["class_name"].tolist() == list(tiny_tasks[0].classes)
    for row in table.itertuples():
        label = row[5]
        right = ((given == label) & (labels == label)).sum()
        assert row.images == (labels == label).sum()
        assert row.recall == pytest.approx(right / row.images)
        assert row.f1 == pytest.approx(2 * right / (row.images + (given == label).sum()))


def test_a_comparison_has_the_answers_of_its_runs(go: Callable, tmp_path: Path) -> None:
    """And one with a run of an earlier version has those of the other run."""
    go(tmp_path / "a", "clr")
    go(tmp_path / "b", "sgd")
    forget_answers(tmp_path / "a")
    with joined([tmp_path / "a", tmp_path / "b"], tmp_path / "both", []) as run:
        results = collect(run, run.read_manifest())
    both, b = RunFolder(tmp_path / "both"), RunFolder(tmp_path / "b")
    pd.testing.assert_frame_equal(results.classes, collect(b, b.read_manifest()).classes)
    shutil.rmtree(tmp_path / "b")
    pd.testing.assert_frame_equal(collect(both, both.read_manifest()).classes, results.classes)
    errors = results.summary.set_index("method")["expected_calibration_error"]
    assert errors.isna().to_dict() == {"clr": True, "sgd": False}


def test_orders_have_a_column_beside_the_seed(go: Callable, tmp_path: Path) -> None:
    go(tmp_path, "sgd-ll", orders=2)
    table = pd.read_csv(tmp_path / "classes.csv")
    assert list(table)[:5] == ["method", "seed", "order", "task", "task_name"]
    orders = json.loads((tmp_path / "manifest.json").read_bytes())["orders"]
    for (order, place), rows in table.groupby(["order", "task"]):
        assert set(rows["task_name"]) == {f"task-{orders[order][place - 1]}"}


def shown_answers(folder: Path) -> Any:
    """What the page of a run, made from its folder alone, shows of the answers."""
    run = RunFolder(folder)
    text = write_page(collect(run, run.read_manifest())).read_bytes()
    found = re.search(rb'id="data">(.*?)</script>', text)
    assert found is not None
    return json.loads(found[1])["answers"]


def test_the_surest_mistakes_have_small_pictures(go: Callable, tmp_path: Path, tiny_tasks: tuple[Task, ...]) -> None:
    """They are the test images of their tasks, in each order of the tasks."""
    go(tmp_path, "clr", "sgd", orders=2)
    folder = RunFolder(tmp_path)
    kept = read_thumbnails(tmp_path)
    assert {task: [*own] for task, own in kept.items()} == pictured(collect(folder, folder.read_manifest()))
    assert kept.keys() == {1, 2, 3}
    for task, own in kept.items():
        for image, jpeg in own.items():
            found = np.asarray(Image.open(BytesIO(jpeg)).convert("RGB")).astype(int)
            images = tiny_tasks[task - 1].test.images.permute(0, 2, 3, 1).numpy().astype(int)
            assert np.abs(images - found).mean(axis=(1, 2, 3)).argmin() == image
    shown = shown_answers(tmp_path)
    for method in shown["methods"]:
        for own, of_task, task in zip(method["tasks"], shown["tasks"], (1, 2, 3), strict=True):
            assert own["surest"]
            for name, *_, picture in own["surest"]:
                jpeg = kept[task][int(name.removeprefix("image ")) - 1]
                assert base64.b64decode(of_task["pictures"][picture]) == jpeg


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-3])])
def test_without_pictures_the_page_has_names(go: Callable, tmp_path: Path, damage: Callable) -> None:
    """And a run that goes on, here one that has nothing left to learn, has them again."""
    go(tmp_path, "sgd")
    before, whole = thumbnails_path(tmp_path).read_bytes(), shown_answers(tmp_path)
    damage(thumbnails_path(tmp_path))
    shown = shown_answers(tmp_path)
    assert not any("pictures" in task for task in shown["tasks"])
    assert {len(mistake) for own in shown["methods"][0]["tasks"] for mistake in own["surest"]} == {4}
    go(tmp_path, "sgd")
    assert thumbnails_path(tmp_path).read_bytes() == before
    assert shown_answers(tmp_path) == whole


def test_a_comparison_has_the_pictures_of_all_its_runs(go: Callable, tmp_path: Path) -> None:
    go(tmp_path / "a", "sgd-ll")
    go(tmp_path / "b", "clr")
    with joined([tmp_path / "a", tmp_path / "b"], tmp_path / "both", []) as run:
        asked = pictured(collect(run, run.read_manifest()))
    kept = read_thumbnails(tmp_path / "both")
    assert {task: [*own] for task, own in kept.items()} == asked
    for name in ("a", "b"):
        for task, own in read_thumbnails(tmp_path / name).items():
            assert own.items() <= kept[task].items()
            assert len(own) < len(kept[task]), "each run has some that the other has not"
