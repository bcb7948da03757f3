"""Several answers per method: accuracy.csv, summary.csv and inference.csv, against numbers worked out by hand."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.cli.compare import compare_command
from benchmark.report.write import write_report
from benchmark.results.join import joined
from benchmark.results.run import Results, collect, read
from benchmark.results.schema import ACCURACY_COLUMNS, ALL_ACCURACY_COLUMNS
from benchmark.storage.folder import RunFolder
from benchmark.storage.inferred import inferred_path
from benchmark.storage.labels import labels_path


@pytest.fixture(autouse=True)
def _quick(quick_report: None) -> None: ...


def results(run: RunFolder) -> Results:
    return collect(run, run.read_manifest())


def accuracies(frame: pd.DataFrame, method: str, answer: str) -> list[tuple[int, int, float]]:
    rows = frame[(frame["method"] == method) & (frame["answer"] == answer)]
    return list(rows[["learned", "task", "accuracy"]].itertuples(index=False, name=None))


def row(frame: pd.DataFrame, **wanted: str) -> dict[str, Any]:
    (found,) = frame[np.all([frame[name] == value for name, value in wanted.items()], axis=0)].to_dict("records")
    return found


def test_each_answer_has_rows_and_the_own_ones_come_first(class_run: Any) -> None:
    found = results(class_run.manifest()).accuracy
    assert tuple(found) == ALL_ACCURACY_COLUMNS
    assert accuracies(found, "er", "class") == [(1, 1, 0.75), (2, 1, 0.5), (2, 2, 0.75)]
    assert accuracies(found, "er", "derived") == [(1, 1, 0.75), (2, 1, 0.75), (2, 2, 1.0)]
    assert accuracies(found, "clr", "task") == [(1, 1, 1.0), (2, 1, 1.0), (2, 2, 0.75)]
    assert accuracies(found, "clr", "inferred:centres") == [(1, 1, 1.0), (2, 1, 0.5), (2, 2, 0.75)]
    assert accuracies(found, "clr", "inferred:energy") == [(1, 1, 1.0), (2, 1, 1.0), (2, 2, 0.75)]
    assert found["answer"].tolist()[:6] == ["class"] * 3 + ["task"] * 3
    assert set(found["answer"][6:]) == {"derived", "inferred:centres", "inferred:energy"}
    assert set(found["images"][found["task"] == 2]) == {8}


def test_main_answers_are_the_rows_that_all_else_is_made_of(class_run: Any) -> None:
    found = results(class_run.manifest())
    assert found.summary[["method", "answer"]].to_numpy().tolist() == [["er", "class"], ["clr", "inferred:centres"]]
    assert found.summary["average_accuracy"].tolist() == [0.625, 0.625]
    assert found.matrices["clr"][0, 0].tolist()[1] == [0.5, 0.75]
    assert found.statistics.ranks["average_accuracy"].tolist() == [0.625, 0.625]
    others = found.other_answers[["method", "answer", "average_accuracy"]].to_numpy().tolist()
    assert others == [
        ["er", "derived", 0.875],
        ["clr", "task", 0.875],
        ["clr", "inferred:energy", 0.875],
    ]


def test_images_weigh_by_their_number_in_one_column(class_run: Any) -> None:
    """Of 4 and 8 images, 2 and 6 are right."""
    found = results(class_run.manifest())
    assert found.summary["image_weighted_accuracy"].tolist() == [pytest.approx(8 / 12)] * 2
    assert row(found.other_answers, method="er", answer="derived")["image_weighted_accuracy"] == pytest.approx(11 / 12)


def test_what_a_rule_keeps_is_stored_too(class_run: Any) -> None:
    """80 bytes of the state, and 100 of the rule `centres`, for a backbone of 400."""
    found = results(class_run.manifest())
    main = row(found.summary, method="clr")
    assert (main["stored_bytes"], main["stored_percent"]) == (80 - 400 + 100, (80 - 400 + 100) / 4)
    for name in ("task", "inferred:energy"):
        assert row(found.other_answers, method="clr", answer=name)["stored_bytes"] == 80 - 400
    assert row(found.parameters, method="clr")["stored_bytes"] == 80 - 400
    assert main["normalized_compute"] == row(found.other_answers, method="clr", answer="task")["normalized_compute"]


def test_inference_by_hand(class_run: Any) -> None:
    found = results(class_run.manifest()).inference
    assert found[["method", "rule"]].to_numpy().tolist() == [
        ["er", "joint softmax"],
        ["clr", "centres"],
        ["clr", "energy"],
    ]
    joint, centres, energy = found.to_dict("records")
    assert joint["task_inference_accuracy"] == (0.5 + 0.75) / 2
    assert (joint["accuracy_with_oracle"], joint["accuracy_inferred"], joint["gap"]) == (0.875, 0.625, 0.25)
    assert (joint["kept_bytes"], joint["evaluations"], joint["frozen_evaluations"]) == (0, 0, 0)
    assert (joint["inference_flops_per_image"], joint["normalized_inference"]) == (12, 1.2)
    assert centres["task_inference_accuracy"] == (0.5 + 0.75) / 2
    assert (centres["accuracy_with_oracle"], centres["accuracy_inferred"], centres["gap"]) == (0.875, 0.625, 0.25)
    assert (centres["kept_bytes"], centres["inference_flops_per_image"], centres["normalized_inference"]) == (
        100,
        30,
        3,
    )
    assert (centres["evaluations"], centres["frozen_evaluations"]) == (0 + 2, 1 + 2)
    assert (energy["task_inference_accuracy"], energy["gap"], energy["kept_bytes"]) == (1, 0, 0)
    assert np.isnan(energy["gap_ci95"])


def test_classes_are_those_of_the_main_answer(class_run: Any) -> None:
    """`clr` by centres: of A0's two images one is taken for B0 (column 2), of A1's one for B1; two B2 for A1."""
    found = results(class_run.manifest()).classes
    clr = found[found["method"] == "clr"].set_index("class_name")
    assert clr["recall"].to_dict() == {"A0": 0.5, "A1": 0.5, "B0": 1, "B1": 1, "B2": 0.5}
    assert clr["precision"].to_dict() == pytest.approx({"A0": 1, "A1": 1 / 3, "B0": 2 / 3, "B1": 2 / 3, "B2": 1})


def test_means_are_over_seeds(answers_run: Any, tmp_path: Path) -> None:
    """Gaps of 0.5 and 0: their mean 0.25, and Student's t for two values a and b is 12.7062 |a - b| / 2."""
    run = answers_run(tmp_path / "run", "task", [[0, 1], [0, 1]], [2, 2], ["energy"])
    known = {"task": [[[0, 1]], [[0, 1], [0, 1]]]}
    run.cell(("clr", 0, 0), known, {"energy": [[[0, 1]], [[2, 3], [2, 3]]]})
    run.cell(("clr", 1, 0), known, {"energy": [[[0, 1]], [[0, 1], [2, 3]]]})
    found = results(run.manifest())
    assert found.summary["answer"].tolist() == ["task"]
    (only,) = found.inference.to_dict("records")
    assert (only["task_inference_accuracy"], only["accuracy_with_oracle"], only["gap"]) == (0.75, 1, 0.25)
    assert only["gap_ci95"] == pytest.approx(12.7062 * 0.5 / 2, abs=1e-4)
    assert only["accuracy_with_oracle_ci95"] == 0


def test_columns_lie_in_the_order_of_learning(answers_run: Any, tmp_path: Path) -> None:
    """In the order 2, 1 the columns 0, 1, 2 are those of the second task, and 3 and 4 those of the first."""
    run = answers_run(tmp_path / "run", "task", [[0, 1], [0, 1, 2]], [2, 3], ["energy"], [[1, 2], [2, 1]])
    run.cell(
        ("clr", 0, 1), {"task": [[[0, 1, 2]], [[0, 1, 2], [0, 1]]]}, {"energy": [[[0, 1, 2]], [[0, 1, 3], [3, 2]]]}
    )
    found = results(run.manifest())
    expected = [(1, 1, 1.0), (2, 1, pytest.approx(2 / 3)), (2, 2, 0.5)]
    assert accuracies(found.accuracy, "clr", "inferred:energy") == expected
    names = found.accuracy["task_name"][found.accuracy["answer"] == "inferred:energy"].tolist()
    assert names == ["task B", "task B", "task A"]
    assert found.guesses["clr", "inferred:energy"]["clr", 0, 1].tolist() == [[2, 1], [1, 1]]


def test_in_the_scenario_domain_the_guessed_domain_need_not_be_right(answers_run: Any, tmp_path: Path) -> None:
    """Column 3 is class 1 of the second domain: right for an image of class 1 of the first one."""
    run = answers_run(tmp_path / "run", "domain", [[0, 1], [1, 1]], [2, 2], ["gmm"])
    run.cell(("sgd", 0, 0), {"domain": [[[0, 1]], [[0, 0], [1, 0]]]})
    run.cell(("clr", 0, 0), {"task": [[[0, 1]], [[0, 1], [1, 0]]]}, {"gmm": [[[0, 1]], [[2, 3], [0, 1]]]})
    found = results(run.manifest())
    assert found.summary["answer"].tolist() == ["domain", "inferred:gmm"]
    assert accuracies(found.accuracy, "clr", "inferred:gmm") == [(1, 1, 1.0), (2, 1, 1.0), (2, 2, 0.5)]
    head, gmm = found.inference.to_dict("records")
    assert (head["rule"], head["accuracy_inferred"]) == ("one head", 0.5)
    assert np.isnan([head["accuracy_with_oracle"], head["gap"], head["task_inference_accuracy"]]).all()
    assert (gmm["task_inference_accuracy"], gmm["gap"]) == (0, 0)
    clr = found.classes[found.classes["method"] == "clr"]
    assert clr[["class_name", "recall"]].to_numpy().tolist()[:2] == [["A0", 1.0], ["A1", 1.0]]
    assert clr[["class_name", "recall"]].to_numpy().tolist()[3] == ["B1", 0.5]


def test_without_rules_the_scenario_class_has_the_derived_answer_and_the_joint_one(
    answers_run: Any, tmp_path: Path
) -> None:
    run = answers_run(tmp_path / "run", "class", [[0, 1], [0, 1]], [2, 2])
    run.cell(("er", 0, 0), {"class": [[[0, 1]], [[2, 1], [2, 0]]], "derived": [[[0, 1]], [[0, 1], [2, 3]]]})
    found = results(run.manifest())
    assert found.inference[["rule", "accuracy_with_oracle", "accuracy_inferred", "gap"]].to_numpy().tolist() == [
        ["joint softmax", 1, 0.5, 0.5]
    ]


def test_without_rules_and_with_known_tasks_only_the_column_is_new(answers_run: Any, tmp_path: Path) -> None:
    run = answers_run(tmp_path / "run", "task", [[0, 1], [0, 1]], [2, 2])
    run.cell(("clr", 0, 0), {"task": [[[0, 1]], [[0, 1], [0, 0]]]})
    found = results(run.manifest())
    assert list(found.tables["accuracy"]) == [*ACCURACY_COLUMNS, "answer"]
    assert set(found.accuracy["answer"]) == {"task"}
    assert found.other_answers.empty
    assert "inference" not in found.tables
    write_report(found)
    assert not (run.folder / "inference.csv").exists()


def test_what_is_missing_has_no_rows_and_no_numbers(class_run: Any) -> None:
    cell = RunFolder(class_run.folder).cell("clr", 0, 0)
    run = class_run.manifest()
    inferred_path(cell, 1).write_bytes(b"damaged")
    found = results(run)
    assert accuracies(found.accuracy, "clr", "inferred:centres") == [(2, 1, 0.5), (2, 2, 0.75)]
    assert row(found.summary, method="clr")["average_accuracy"] == 0.625
    assert np.isnan(row(found.summary, method="clr")["average_incremental_accuracy"])
    costs = row(found.inference, method="clr", rule="centres")
    assert np.isnan(costs["evaluations"]), "a sum over the files that are left would be too small"
    assert costs["kept_bytes"] > 0, "these are of the last task"
    inferred_path(cell, 2).unlink()
    found = results(run)
    assert accuracies(found.accuracy, "clr", "inferred:centres") == []
    main = row(found.summary, method="clr")
    assert (main["answer"], main["seeds"]) == ("inferred:centres", 0)
    assert np.isnan(main["average_accuracy"])
    assert found.inference["method"].tolist() == ["er"]
    labels_path(run.path, 1).unlink()
    assert accuracies(results(run).accuracy, "er", "derived")[0] == (1, 1, -1.0), "the record's own number"


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.iterdir()):
        if path.suffix in (".csv", ".md", ".tex"):
            yield path.name, path.read_bytes()


def test_a_report_from_answers_alone_has_the_same_bytes(class_run: Any) -> None:
    run = class_run.manifest()
    write_report(results(run))
    before = dict(files(run.path))
    assert "inference.csv" in before
    for name in before:
        (run.path / name).unlink()
    write_report(results(run))
    assert dict(files(run.path)) == before


FRAMES = ("summary", "other_answers", "inference", "accuracy", "classes")


def test_a_run_is_read_from_its_tables_without_its_cells(class_run: Any) -> None:
    run = class_run.manifest()
    made = results(run)
    write_report(made)
    shutil.rmtree(run.path / "cells")
    found = read(run)
    for name in FRAMES:
        pd.testing.assert_frame_equal(getattr(found, name), getattr(made, name), check_dtype=False)
    pd.testing.assert_frame_equal(found.statistics.ranks, made.statistics.ranks, check_dtype=False)


def test_a_run_of_an_earlier_version_is_read(answers_run: Any, tmp_path: Path) -> None:
    """Its accuracy.csv names no answers, its manifest no rules, and its cells may be gone."""
    run = answers_run(tmp_path / "run", "task", [[0, 1], [0, 1]], [2, 2])
    run.cell(("clr", 0, 0), {"task": [[[0, 1]], [[0, 1], [0, 0]]]})
    folder = run.manifest(settings={"methods": ["clr"], "orders": 1}, learned_as={})
    made = results(folder)
    write_report(made)
    pd.read_csv(folder.path / "accuracy.csv").drop(columns="answer").to_csv(folder.path / "accuracy.csv", index=False)
    summary = pd.read_csv(folder.path / "summary.csv")
    summary.drop(columns=["answer", "image_weighted_accuracy"]).to_csv(folder.path / "summary.csv", index=False)
    shutil.rmtree(folder.path / "cells")
    found = read(folder)
    pd.testing.assert_frame_equal(found.accuracy, made.accuracy, check_dtype=False)
    assert found.summary["average_accuracy"].tolist() == [0.75]
    assert found.summary["answer"].tolist() == ["task"]


def test_answers_that_an_earlier_version_kept_and_did_not_list_are_read(answers_run: Any, tmp_path: Path) -> None:
    """In the scenario class it kept the derived answers too, and its accuracy.csv had only the others."""
    run = answers_run(tmp_path / "run", "class", [[0, 1], [0, 1]], [2, 2])
    run.cell(("er", 0, 0), {"class": [[[0, 1]], [[2, 1], [2, 3]]], "derived": [[[0, 1]], [[0, 1], [2, 3]]]})
    folder = run.manifest()
    write_report(results(folder))
    accuracy = pd.read_csv(folder.path / "accuracy.csv")
    accuracy[accuracy["answer"] == "class"].drop(columns="answer").to_csv(folder.path / "accuracy.csv", index=False)
    (folder.path / "inference.csv").unlink()
    assert row(read(folder).inference, method="er")["accuracy_with_oracle"] == 1
    shutil.rmtree(folder.path / "cells")
    without = read(folder)
    assert np.isnan(row(without.inference, method="er")["accuracy_with_oracle"])
    assert without.summary["average_accuracy"].tolist() == [0.75]


def test_a_comparison_has_all_answers_of_its_runs(
    class_run: Any, answers_run: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second run knows the tasks: its own answers are not among the columns of the first one's."""
    class_run.manifest()
    other = answers_run(tmp_path / "task", "task", class_run.truth, class_run.widths)
    other.cell(("er", 0, 0), {"task": [[[0, 1, 0, 0]], [[0, 1, 1, 0], [0, 1, 2, 0] * 2]]})
    other.manifest()
    assert compare_command([class_run.folder, other.folder], tmp_path / "both", []) == 0
    # As `run` does, it shows the table of the answers without the task.
    assert "Without the task oracle" in capsys.readouterr().out
    shutil.rmtree(class_run.folder)
    both = RunFolder(tmp_path / "both")
    found = results(both)
    assert found.summary["answer"].tolist() == ["class", "inferred:centres", "task"]
    assert found.summary["average_accuracy"].tolist() == [0.625, 0.625, 0.875]
    assert len(found.other_answers) == 3
    assert found.inference["rule"].tolist() == ["joint softmax", "centres", "energy"]
    assert both.read_manifest()["learned_as"] == dict(
        zip(found.summary["method"], ["class", "task", "task"], strict=True)
    )


def guessed_by(answers_run: Callable[..., Any], folder: Path, seed: int, rules: list[str]) -> Path:
    """A run in the scenario class of `clr` with one seed; by any rule all images are taken for the last task's."""
    run = answers_run(folder, "class", [[0, 1], [0, 1]], [2, 2], rules)
    own = {"task": [[[0, 1]], [[0, 1], [0, 1]]]}
    run.cell(("clr", seed, 0), own, {rule: [[[0, 1]], [[2, 3], [2, 3]]] for rule in rules})
    run.manifest()
    return folder


@pytest.mark.parametrize(
    ("rules", "seed", "labels", "seeds", "ways"),
    [
        (["gmm"], 0, ["clr", "clr (infer=gmm)"], [1, 1], ["centres", "energy", "gmm"]),
        (["gmm", "centres"], 1, ["clr", "clr (infer=gmm)"], [1, 1], ["centres", "energy", "gmm", "centres"]),
        (["centres"], 1, ["clr"], [2], ["centres"]),
        (["centres", "gmm", "energy"], 0, ["clr"], [1], ["centres", "gmm", "energy"]),
    ],
)
def test_a_comparison_joins_answers_of_the_same_rule(
    rules: list[str],
    seed: int,
    labels: list[str],
    seeds: list[int],
    ways: list[str],
    answers_run: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """A label has one main answer, and of the others those that all of its cells have."""
    first = guessed_by(answers_run, tmp_path / "a", 0, ["centres", "energy"])
    second = guessed_by(answers_run, tmp_path / "b", seed, rules)
    with joined([first, second], tmp_path / "both", []) as run:
        found = results(run)
    assert found.summary["method"].tolist() == labels
    assert found.summary["seeds"].tolist() == seeds
    assert set(found.summary["average_accuracy"]) == {0.5}
    assert found.inference["rule"].tolist() == ways
