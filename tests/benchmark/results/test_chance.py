"""Chance levels against examples worked by hand and constant answers, and the verdict against SciPy's binomial test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmark.cli.main import main
from benchmark.report.write import write_report
from benchmark.results.chance import Chance
from benchmark.results.run import collect, read
from benchmark.storage.folder import RunFolder
from benchmark.storage.labels import TaskLabels
from benchmark.storage.manifest import Manifest


def chance(
    labels: list[list[int] | None], classes: list[int], scenario: str = "task", images: list[int] | None = None
) -> Chance:
    """Of tasks with these labels of their test images; None where they are not kept."""
    counts = images or [len(own or ()) for own in labels]
    manifest = Manifest(
        tasks=[{"classes": width, "test_images": count} for width, count in zip(classes, counts, strict=True)],
        cells=[{"method": "er", "seed": 0, "order": 0}],
        settings={"scenario": scenario, "infer": ["gmm"] if scenario == "task" else []},
        orders=[list(range(1, len(classes) + 1))],
    )
    kept = {
        k: None if own is None else TaskLabels("", "", tuple(map(str, range(width))), np.array(own), ())
        for k, (own, width) in enumerate(zip(labels, classes, strict=True), 1)
    }
    return Chance(manifest, kept)


BALANCED = [[0, 1, 2, 3], [0, 1]]


@pytest.mark.parametrize(
    ("labels", "classes", "answer", "curve"),
    [
        # A mean of 1 / classes where the task is known, and 1 / all classes where all tasks have as many.
        (BALANCED, [4, 2], "task", [1 / 4, (1 / 4 + 1 / 2) / 2]),
        (BALANCED, [4, 2], "derived", [1 / 4, (1 / 4 + 1 / 2) / 2]),
        ([[0, 1], [0, 1], [0, 1]], [2, 2, 2], "class", [1 / 2, 1 / 4, 1 / 6]),
        # "The first class of the second task" is right for half of its images, and for none of the first task.
        (BALANCED, [4, 2], "class", [1 / 4, 1 / 4]),
        (BALANCED, [4, 2], "inferred:gmm", [1 / 4, 1 / 4]),
        # Most of the images are of one class.
        ([[0, 0, 0, 1], [1, 1, 0, 1]], [2, 2], "task", [3 / 4, 3 / 4]),
        ([[0, 0, 0, 1], [1, 1, 0, 1]], [2, 2], "class", [3 / 4, 3 / 8]),
        # The most frequent class is another one in each domain, but one answer serves both: of 0, 1 and 2 it is right
        # for (3/4 + 1/4) / 2, (1/4 + 1/4) / 2 and (0 + 2/4) / 2.
        ([[0, 0, 0, 1], [0, 1, 2, 2]], [3, 3], "domain", [3 / 4, 1 / 2]),
        # Without labels all classes count as equally frequent.
        ([None, None], [4, 5], "task", [1 / 4, (1 / 4 + 1 / 5) / 2]),
        ([None, None], [4, 4], "domain", [1 / 4, 1 / 4]),
        ([None, None], [4, 4], "class", [1 / 4, 1 / 8]),
    ],
)
def test_the_chance_level_is_that_of_the_best_constant_answer(labels, classes, answer, curve) -> None:
    scenario = answer if answer in ("class", "domain") else "task"
    found = chance(labels, classes, scenario)
    np.testing.assert_allclose(found.curve("er", answer), curve)
    assert found.level("er", answer) == pytest.approx(curve[-1])


def test_a_guess_of_the_domain_does_not_make_an_answer_wrong() -> None:
    found = chance([[0, 0, 1, 1]] * 2, [2, 2], "domain")
    assert found.level("er", "inferred:gmm") == found.level("er", "domain") == 0.5


def test_the_curve_follows_the_order_of_learning() -> None:
    np.testing.assert_allclose(chance(BALANCED, [4, 2]).curve("er", "task", [2, 1]), [1 / 2, 3 / 8])


@pytest.mark.parametrize("images", [10, 40, 256])
@pytest.mark.parametrize("classes", [2, 5, 10])
def test_the_verdict_is_that_of_the_one_sided_exact_binomial_test(images: int, classes: int) -> None:
    found = chance([None] * 3, [classes] * 3, images=[images] * 3)
    verdicts = []
    for right in range(3 * images + 1):
        p = stats.binomtest(right, 3 * images, 1 / classes, alternative="greater").pvalue
        low = stats.binomtest(right, 3 * images, alternative="greater").proportion_ci(0.95, "exact").low
        verdicts.append(found.holds("er", "task", right / (3 * images)))
        assert verdicts[-1] == (p >= 0.05) == (low <= 1 / classes)
    assert {True, False} == set(verdicts)


def test_of_tasks_with_different_numbers_of_images_those_with_few_make_the_mean_uncertain() -> None:
    """10 and 1000 images: their mean has the variance of that of 2^2 / (1/10 + 1/1000) = 39.6 images."""
    found = chance([None] * 2, [2, 2], images=[10, 1000])
    assert found.holds("er", "task", 0.62)
    assert not found.holds("er", "task", 0.65)
    assert stats.binomtest(25, 40, 0.5, alternative="greater").pvalue > 0.05
    assert stats.binomtest(26, 40, 0.5, alternative="greater").pvalue < 0.05
    assert not chance([None] * 2, [2, 2], images=[505, 505]).holds("er", "task", 0.62)


@pytest.mark.parametrize("level", [0.1, 0.25, 0.5])
def test_a_method_that_guesses_is_found_to_be_at_chance(level: float) -> None:
    found = chance([None] * 4, [round(1 / level)] * 4, images=[50] * 4)
    right = np.random.default_rng(0).binomial(50, level, size=(2000, 4)) / 50
    share = np.mean([found.holds("er", "task", accuracy) for accuracy in right.mean(axis=1)])
    assert share > 0.94


def test_what_is_not_known_is_not_judged() -> None:
    unknown = chance([None], [0], images=[10])
    assert np.isnan(unknown.level("er", "task"))
    assert unknown.holds("er", "task", 0.1) is None
    assert unknown.curves == []
    assert chance([None], [2], images=[0]).holds("er", "task", 0.1) is None
    assert chance([None], [2], images=[9]).holds("er", "task", float("nan")) is None
    assert chance([None], [2], images=[9]).holds("er", "task", 0.0) is True


def finished(answers_run: Any, folder: Path, **methods: list[list[int]]) -> Any:
    """A run of two tasks of two classes with 20 images each, and what each method answered to them at last."""
    run = answers_run(folder, "task", [[0, 1] * 10] * 2, [2, 2])
    for method, (first, second) in methods.items():
        for seed in (0, 1):
            run.cell((method, seed, 0), {"task": [[first], [first, second]]})
    return run.manifest()


def test_a_run_tells_who_is_at_chance_and_does_not_rank_them(answers_run: Any, tmp_path: Path) -> None:
    right, constant = [0, 1] * 10, [0] * 20
    folder = finished(answers_run, tmp_path, er=[right, constant], sgd=[constant, constant], clr=[right, right])
    for results in (collect(folder, folder.read_manifest()), read(folder)):
        assert results.summary["chance_level"].tolist() == [0.5] * 3
        assert results.summary["at_chance"].tolist() == [False, True, False]
        assert results.statistics.ranks["method"].tolist() == ["clr", "er"]
        assert len(results.statistics.pairs) == 1
        assert results.statistics.verdict.startswith("sgd is at chance level and therefore not ranked. ")
        folder.write_csv("summary", results.tables["summary"])
        text = (tmp_path / "summary.csv").read_text().splitlines()
        assert text[0].endswith(",answer,chance_level,at_chance")
        assert text[2].endswith(",task,0.5,True")
    np.testing.assert_allclose(results.chance.curves, [[0.5, 0.5]])


def test_the_labels_of_the_test_images_count_and_without_them_the_number_of_classes(
    answers_run: Any, tmp_path: Path
) -> None:
    run = answers_run(tmp_path, "task", [[0] * 15 + [1] * 5] * 2, [2, 2])
    run.cell(("er", 0, 0), {"task": [[[0] * 20], [[0] * 20] * 2]})
    folder = run.manifest()
    results = collect(folder, folder.read_manifest())
    assert results.summary[["average_accuracy", "chance_level"]].to_numpy().tolist() == [[0.75, 0.75]]
    assert results.summary["at_chance"].tolist() == [True]
    for path in (tmp_path / "test-images").iterdir():
        path.unlink()
    without = collect(folder, folder.read_manifest()).summary
    assert without["chance_level"].tolist() == [0.5]


def test_a_kept_run_has_the_chance_levels_of_its_run_although_it_has_no_labels(
    answers_run: Any, load_script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """15 of 20 images are of one class in the first task, 12 of 16 in the second: a constant answer is 75 % right."""
    for name in ("draw_figures", "draw_oracle_gap", "write_page"):
        monkeypatch.setattr(f"benchmark.report.write.{name}", lambda *arguments, **options: None)
    first, second = [0] * 15 + [1] * 5, [1, 2] * 2 + [0] * 12
    run = answers_run(tmp_path / "run", "task", [first, second], [2, 3])
    run.cell(("er", 0, 0), {"task": [[[0] * 20], [[0] * 20, [0] * 16]]})
    run.cell(("clr", 0, 0), {"task": [[first], [first, second]]})
    folder = run.manifest()
    write_report(collect(folder, folder.read_manifest()))
    load_script("keep_run").keep(folder.path, tmp_path / "kept")

    kept = RunFolder(tmp_path / "kept")
    assert not (kept.path / "test-images").exists()
    results = read(kept)
    assert results.summary["chance_level"].tolist() == [0.75, 0.75]
    assert results.statistics.at_chance == ("er",)
    np.testing.assert_allclose(results.chance.curves, [[0.75, 0.75]])
    before = (kept.path / "summary.csv").read_bytes()
    assert main(["report", str(kept.path)]) == 0
    assert (kept.path / "summary.csv").read_bytes() == before
    assert "Chance level: 75.0" in (kept.path / "summary.md").read_text()


def test_of_a_method_that_did_not_finish_there_is_no_chance_level(answers_run: Any, tmp_path: Path) -> None:
    run = answers_run(tmp_path, "task", [[0, 1]] * 2, [2, 2])
    run.cell(("er", 0, 0), {"task": [[[0, 1]], [[0, 1]] * 2]})
    folder = run.manifest()
    manifest = folder.read_manifest()
    manifest["cells"].append({"method": "clr", "seed": 0, "order": 0, "status": "failed", "cause": "x"})
    summary = collect(folder, Manifest(manifest)).summary
    assert summary["chance_level"].isna().tolist() == [False, True]
    assert summary["at_chance"].isna().tolist() == [False, True]
