"""The script that chooses the methods' defaults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmark.config import Settings, parse_methods
from benchmark.storage.tuned import read_tuned, tuned_methods, write_tuned
from methods.options import parse_spec

pytest.importorskip("optuna", reason='the tuner needs Optuna: pip install ".[tune]"')


@pytest.fixture
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("choose_defaults")


def entry(label: str, *values: float) -> dict[str, Any]:
    """What `tune` found: lr 1, 2, ... with these accuracies; 0 diverged."""
    trials = [{"params": {"lr": lr}, "value": value, "diverged": value == 0} for lr, value in enumerate(values, 1)]
    best = max(trials, key=lambda trial: trial["value"])
    found = f"{label}:lr={best['params']['lr']}"
    return {"best": found, "accuracy": best["value"], "default_accuracy": values[0], "trials": trials}


#: A method with nothing to search.
NOTHING = {"best": "ncm", "accuracy": None, "default_accuracy": None, "trials": []}


def content(seeds: list[int], **methods: dict[str, Any]) -> dict[str, Any]:
    return {
        "settings": {"stream": "mini", "seeds": seeds, "budget": 2},
        "stream": {"spec": "mini", "fingerprint": "f", "tasks": {}},
        "backbone": {"spec": "mini", "fingerprint": "w"},
        "random_numbers": "rule",
        "methods": methods,
    }


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Two files: sgd with its own optimizer and clr; sgd with Adam, which is better, and clr with SGD, which is not."""
    own = {"sgd": entry("sgd", 0.5, 0.25), "clr": entry("clr", 0.75, 0.0), "ncm": NOTHING}
    adam, sgd = "sgd:optimizer=adam", "clr:optimizer=sgd"
    write_tuned(tmp_path / "own.json", content([100, 101], **own))
    others = {adam: entry(adam, 0.0, 0.625, 0.0), sgd: entry(sgd, 0.25, 0.5)}
    write_tuned(tmp_path / "other.json", content([100, 101], **others))
    return [str(tmp_path / "own.json"), str(tmp_path / "other.json")]


def test_the_best_of_both_optimizers_is_compared_with_the_default(script, files, capsys):
    assert script.main(["--from", *files]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "| method | default | best | gain | with | trials | diverged |",
        "|---|---:|---:|---:|---|---:|---:|",
        "| `sgd` | 50.0 | 62.5 | 12.5 | `optimizer=adam:lr=2` | 5 | 2 |",
        "| `clr` | 75.0 | 75.0 | 0.0 | `lr=1` | 4 | 1 |",
    ]


def test_a_run_can_take_the_options_of_the_joined_file(script, files, tmp_path):
    path = tmp_path / "joined.json"
    write_tuned(path, script.joined(map(Path, files)))
    best = ("ncm", "sgd:optimizer=adam:lr=2", "clr:lr=1")
    assert tuned_methods(("ncm", "sgd", "clr"), path).specifications == best


def test_the_default_is_that_of_the_methods_own_optimizer(script, tmp_path, capsys):
    """Also if that is named; clr is made for Adam. Without it, the other optimizer has a row of its own."""
    labels = {
        "sgd:optimizer=adam": 0.25,
        "sgd:optimizer=sgd": 0.5,
        "clr:optimizer=sgd": 0.25,
        "clr:optimizer=adam": 0.75,
    }
    found = {label: entry(label, value, 0.625) for label, value in (labels | {"er:optimizer=adam": 0.5}).items()}
    write_tuned(tmp_path / "all.json", content([100], **found))
    assert script.main(["--from", str(tmp_path / "all.json")]) == 0
    assert capsys.readouterr().out.splitlines()[2:] == [
        "| `sgd` | 50.0 | 62.5 | 12.5 | `optimizer=adam:lr=2` | 4 | 0 |",
        "| `clr` | 75.0 | 75.0 | 0.0 | `optimizer=adam:lr=1` | 4 | 0 |",
        "| `er:optimizer=adam` | 50.0 | 62.5 | 12.5 | `lr=2` | 2 | 0 |",
    ]


def test_files_of_different_settings_are_not_joined(script, files, tmp_path, capsys):
    write_tuned(tmp_path / "third.json", content([7], er=entry("er", 0.5)))
    assert script.main(["--from", *files, str(tmp_path / "third.json")]) == 2
    assert "third.json: that file exists with --seeds 7, not 100,101" in capsys.readouterr().err


def test_what_two_files_have_is_refused(script, files, capsys):
    assert script.main(["--from", *files, files[1]]) == 2
    says = f"error: --from: {files[1]} has 'clr:optimizer=sgd', which a file before it has too; give one of them\n"
    assert capsys.readouterr().err == says


def test_a_file_that_is_not_there_is_one_sentence(script, capsys):
    assert script.main(["--from", "nowhere.json"]) == 2
    assert capsys.readouterr().err.startswith("error: --from: there is no file nowhere.json")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--budget 0", "--budget 0 must be at least 1"),
        ("--jobs 0", "--jobs 0 must be at least 1"),
        ("--seeds x", "--seeds x is neither"),
        ("--out own.json", "--out own.json: the folder cannot be made: File exists"),
        ("--out own.json/in", "--out own.json/in: the folder cannot be made"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(script, words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.json").touch()
    assert script.main(["sgd", *words.split()]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {says}")
    assert printed.count("\n") == 1


def test_each_method_is_searched_with_both_optimizers_if_none_is_given(script):
    """ncm and slda make no gradient steps; sgd:lr=0.1 leaves nothing to search; lora needs a transformer."""
    asked = (*parse_methods("sgd,ncm,slda,clr,ewc:optimizer=adam,sgd:lr=0.1"), parse_spec("lora").of_group("few"))
    labels, left_out = script.searches(Settings(methods=asked, tasks=1))
    assert labels == [
        *("sgd", "sgd:optimizer=adam", "ncm", "slda", "clr", "clr:optimizer=sgd", "ewc:optimizer=adam", "sgd:lr=0.1")
    ]
    assert left_out == ["lora"]


def test_a_search_is_that_of_tune(script, tmp_path):
    path = tmp_path / "sgd.json"
    settings = Settings(methods=("sgd",), tasks=1, train_images=20, epochs=1, seeds=(100, 101), device="cpu")
    assert script.search(settings, 2, path) is True
    found = read_tuned(path, "--out")
    assert (found["settings"]["seeds"], found["settings"]["budget"]) == ([100, 101], 2)
    assert [len(trial["accuracies"]) for trial in found["methods"]["sgd"]["trials"]] == [2, 2]
    before = path.read_bytes()
    script.search(settings, 2, path)
    assert path.read_bytes() == before, "what is done is not searched again"


def test_a_search_that_fails_is_told(script, tmp_path, monkeypatch, capsys):
    def fail(*arguments: object) -> float:
        raise RuntimeError("broken")

    monkeypatch.setattr("benchmark.running.tune.validation_accuracy", fail)
    settings = Settings(methods=("sgd",), tasks=1, train_images=20, epochs=1, seeds=(100,), device="cpu")
    assert script.search(settings, 1, tmp_path / "sgd.json") is False
    assert "sgd failed: RuntimeError: broken" in capsys.readouterr().err
