"""The benchmark from Python: the command line's options under the same names, and frames of any run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import benchmark
from benchmark import UserError, load_results, run
from benchmark.api import Results, as_command, understand
from benchmark.cli.main import main, parse
from benchmark.config import Execution, Settings
from benchmark.results.schema import ALL_ACCURACY_COLUMNS, COMPUTE_COLUMNS, PARAMETER_COLUMNS, TASK_COLUMNS
from methods import Method, methods

SMALL: dict[str, Any] = {"tasks": 2, "train_images": 40, "test_images": 20, "epochs": 1, "jobs": 1, "device": "cpu"}


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "_entries", dict(methods._entries))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Of two methods and seeds."""
    out = tmp_path_factory.mktemp("runs")
    return run(methods=["clr", "er:memory=20"], seeds=[4, 7], name="mine", out=out, **SMALL)


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, benchmark; print({'torch', 'pandas', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
    with pytest.raises(AttributeError, match="module 'benchmark' has no attribute 'runs'"):
        _ = benchmark.runs


def test_a_run_returns_frames(results: Results):
    assert list(results.summary["method"]) == ["clr", "er:memory=20"]
    assert set(results.accuracy["seed"]) == {4, 7}
    # A row for each task evaluated after each task learned, 1 + 2.
    assert len(results.accuracy) == 2 * 2 * 3
    assert list(results.accuracy) == list(ALL_ACCURACY_COLUMNS)
    assert list(results.parameters) == list(PARAMETER_COLUMNS)
    assert list(results.compute) == list(COMPUTE_COLUMNS)
    assert list(results.tasks) == list(TASK_COLUMNS)
    # Both methods are at chance, so that there are no ranks.
    assert results.statistics.ranks.empty
    assert list(results.statistics.ranks) == list(pd.read_csv(results.path / "ranks.csv"))
    assert not results.statistics.decidable, "of two seeds"
    assert results.manifest["status"] == "succeeded"
    assert (results.path / "report.html").is_file()


def test_the_manifest_has_the_command_line_that_does_the_same(results: Results):
    command = results.manifest["command"]
    assert command[:3] == ["run", "--methods=clr,er:memory=20", "--stream=mini"]
    assert main(command) == 0, "the same settings, so that the run goes on"
    assert load_results(results.path).manifest["cells"] == results.manifest["cells"]


def test_a_notebook_shows_the_summary(results: Results):
    shown = results._repr_html_()
    assert shown.startswith("<p>Accuracy after the whole stream")
    assert "<td>er:memory=20</td>" in shown
    assert "<th>Average accuracy (%)</th>" in shown
    assert "<strong>" not in shown, "two seeds support no order of methods"


def test_a_terminal_shows_the_summary(results: Results):
    shown = repr(results)
    assert shown.startswith(f"{results.path}\n\nAccuracy after the whole stream")
    assert "\ner:memory=20 " in shown


def test_labels_are_text_in_html(results: Results):
    summary = results.summary.assign(method=["<b>", "x"])
    hostile = replace(results, summary=summary)
    assert "<td>&lt;b&gt;</td>" in hostile._repr_html_()


def test_a_finished_run_is_read_as_it_was(results: Results):
    again = load_results(results.path)
    for name in ("summary", "accuracy", "parameters", "compute", "tasks"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(results, name))


@pytest.fixture
def copy(results: Results, tmp_path: Path) -> Path:
    return Path(shutil.copytree(results.path, tmp_path / "copy"))


def test_an_unfinished_run_is_read_from_its_cells(results: Results, copy: Path):
    """The second method has not learned its second task with either seed."""
    for path in copy.glob("*.csv"):
        path.unlink()
    for path in copy.glob("cells/er*/*/after-2.json"):
        path.unlink()
    manifest = copy / "manifest.json"
    text = manifest.read_text().replace('"status": "succeeded"', '"status": "running"')
    manifest.write_text(text.replace('"finished": "', '"finished": null, "ended": "'))
    found = load_results(copy)
    assert list(found.summary["status"]) == ["incomplete", "incomplete"]
    assert list(found.summary["seeds"]) == [2, 0]
    assert list(found.parameters["method"]) == ["clr"]
    pd.testing.assert_frame_equal(
        found.accuracy.query("method == 'clr'"), results.accuracy.query("method == 'clr'"), check_dtype=False
    )
    assert len(found.accuracy.query("method != 'clr'")) == 2
    assert "incomplete" in found._repr_html_()


def test_a_table_with_other_columns_is_made_again(results: Results, copy: Path):
    compute = pd.read_csv(copy / "compute.csv").drop(columns="features_cached")
    compute.to_csv(copy / "compute.csv", index=False)
    found = load_results(str(copy))
    assert list(found.compute["features_cached"]) == [False, False]
    pd.testing.assert_frame_equal(found.compute, results.compute)


def test_of_a_finished_run_the_tables_are_enough(results: Results, copy: Path):
    shutil.rmtree(copy / "cells")
    found = load_results(copy)
    pd.testing.assert_frame_equal(found.summary, results.summary)
    assert found.statistics.verdict == results.statistics.verdict


def test_results_read_no_table_of_their_own_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("what this process has computed is not read from its files")

    monkeypatch.setattr(pd, "read_csv", refuse)
    results = run(methods=["linear-probe"], name="once", out=tmp_path, **SMALL)
    assert results.summary["seeds"].tolist() == [1]
    assert main(results.manifest["command"]) == 0
    other = shutil.copytree(results.path, tmp_path / "other")
    assert main(["compare", str(results.path), str(other), "--out", str(tmp_path), "--name", "both"]) == 0


def test_the_verdict_is_that_of_summary_md(results: Results):
    verdict = results.statistics.verdict
    # Two tasks of so few images teach nothing.
    assert verdict.startswith("clr, er:memory=20 are at chance level and therefore not ranked.")
    assert verdict in (results.path / "summary.md").read_text()


def test_matrices_and_the_manifest_are_at_hand(results: Results):
    assert list(results.matrices) == results.manifest.labels == ["clr", "er:memory=20"]
    rows = results.accuracy.query("method == 'clr' and seed == 7 and learned == 2 and task == 1")
    assert results.matrices["clr"][7, 0][1, 0] == rows["accuracy"].item()
    assert results.manifest.seeds == [4, 7]
    assert results.manifest.statuses == {"clr": "succeeded", "er:memory=20": "succeeded"}


def test_a_missing_or_empty_table_is_made_again(results: Results, copy: Path):
    (copy / "accuracy.csv").write_text("")
    (copy / "compute.csv").unlink()
    again = load_results(copy)
    for name in ("summary", "accuracy", "compute"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(results, name))


def test_runs_are_found_by_their_names(copy: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copytree(copy, copy.parent / "results" / "mine")
    monkeypatch.chdir(copy.parent)
    assert load_results("mine").path == Path("results/mine")
    with pytest.raises(UserError, match="load_results: there is no run folder gone; give its path, or its name in r"):
        load_results("gone")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"methods": "clrr"}, "unknown method 'clrr': did you mean 'clr'?"),
        ({"epoch": 3}, "run: there is no keyword 'epoch': did you mean 'epochs'? known are methods, stream, "),
        ({"epochs": "many"}, "run: argument --epochs: invalid int value: 'many'"),
        ({"epochs": True}, "run: argument --epochs: invalid int value: 'True'"),
        ({"compile": "yes"}, "run: argument --compile: invalid bool value: 'yes'"),
        ({"seeds": ["x"]}, "--seeds x, is neither how many seeds (3) nor a list of them (4,7)"),
        ({"epochs": 0}, "--epochs 0 must be at least 1"),
        ({"device": "tpu"}, "run: argument --device: invalid choice: 'tpu'"),
        ({"seeds": [4, 4]}, "--seeds 4,4 gives a seed twice; give each once"),
        ({"plugin": ["gone.py"]}, "--plugin: there is no file gone.py"),
    ],
)
def test_what_cannot_be_used_is_raised_as_the_command_line_says_it(options: dict[str, Any], says: str):
    with pytest.raises(UserError) as caught:
        run(**({"methods": ["clr"]} | options))
    assert str(caught.value).startswith(says)


def meant(methods: Any = "clr", **options: Any) -> tuple[Settings, Execution]:
    """What `run` would do."""
    settings, execution, _ = understand(methods, **options)
    return settings, execution


def test_a_value_may_have_a_comma_in_a_list_of_specifications(monkeypatch):
    monkeypatch.setattr(methods, "_entries", dict(methods._entries))

    @methods.register("wordy")
    class Wordy(Method):
        def __init__(self, words: str = ""):
            self.words = words

    assert meant(methods=["clr", "wordy:words=a,b"])[0].methods == ("clr", "wordy:words=a,b")
    assert meant(methods=r"clr,wordy:words=a\,b")[0].methods == ("clr", "wordy:words=a,b")


@pytest.mark.parametrize(
    ("seeds", "numbers"), [(2, (0, 1)), ([5], (5,)), ((4, 7), (4, 7)), (range(3), (0, 1, 2)), ("4,7", (4, 7))]
)
def test_seeds_are_a_number_or_a_list(seeds: Any, numbers: tuple[int, ...]):
    assert meant(seeds=seeds)[0].seeds == numbers


def test_options_mean_what_they_mean_on_the_command_line():
    asked, how = meant(
        "paper,er:memory=10",
        lr=0.5,
        augment=["flip", "crop"],
        compile=True,
        keep_states=False,
        parallel_tasks=False,
        equal_compute="sgd",
        image_size=None,
    )
    assert asked.methods[0] == "clr"
    assert asked.methods[-1] == "er:memory=10"
    assert (asked.lr, asked.augment, asked.compile, asked.image_size) == (0.5, ("flip", "crop"), True, None)
    assert asked.equal_compute == "sgd"
    assert (how.parallel_tasks, how.keep_states) == (False, False)


def test_every_option_of_the_command_line_can_be_given():
    given = vars(parse(["run", "--methods", "clr"]))
    assert {"epochs", "backbone", "tracker", "equal_memory"} <= given.keys()
    options = {name: value for name, value in given.items() if name not in ("methods", "command", "dry_run")}
    assert meant(**options)[0] == meant()[0]


@pytest.mark.parametrize(
    ("given", "kind", "instead"),
    [
        ([{"name": "sgd"}], "dict", ""),
        ({"name": "sgd"}, "dict", ""),
        (3, "int", ""),
        (["sgd", 3], "int", ""),
        ([methods.get("sgd")()], "FineTuning", "; give the class, FineTuning"),
        (methods.get("sgd")(), "FineTuning", "; give the class, FineTuning"),
    ],
)
def test_what_is_no_method_is_refused_in_a_sentence(given, kind, instead):
    kind = type(methods.get("sgd")()).__name__ if kind == "FineTuning" else kind
    instead = instead.replace("FineTuning", kind)
    for what in (run, lambda methods: as_command(methods)):
        with pytest.raises(UserError) as caught:
            what(given)
        assert str(caught.value) == (
            "methods takes specifications or registered classes, as methods=['clr', 'ewc:strength=500'], not an "
            f"object of the type {kind}{instead}"
        )


def test_a_class_is_run_by_its_registered_name():
    @methods.register("mine")
    class Mine(Method):
        """Mine."""

    class Derived(Mine):
        """Not registered, but it has a name."""

    assert meant([Mine, "clr"])[0].methods == ("mine", "clr")
    assert meant(Mine)[0].methods == ("mine",)
    for method in (Derived, Method):
        with pytest.raises(UserError, match=f"methods: {method.__name__} is not registered; write @methods.register"):
            run(methods=[method])


def test_what_a_notebook_defines_has_one_job(monkeypatch: pytest.MonkeyPatch):
    @methods.register("mine")
    class Mine(Method):
        """Mine."""

    assert meant(Mine)[1].jobs is None
    monkeypatch.setattr(Mine, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "script.py", raising=False)
    assert meant(Mine)[1].jobs is None, "a script, which workers can run"
    monkeypatch.delattr(sys.modules["__main__"], "__file__")
    assert (meant(Mine)[1].jobs, meant(Mine)[1].in_process) == (1, True)
    assert (meant("clr")[1].jobs, meant("clr")[1].in_process) == (None, False)
    with pytest.raises(UserError, match="jobs: method 'mine' is defined in this notebook, where workers"):
        run(methods=[Mine], jobs=2)
