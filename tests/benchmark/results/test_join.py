"""Joining runs, made up here as the folders that runs leave behind."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmark.cli.main import main
from benchmark.report.table import MINUS
from benchmark.report.write import write_report
from benchmark.results.join import training_mark
from benchmark.results.run import collect
from benchmark.running.manifest import check_same
from benchmark.storage.folder import RunFolder
from methods.errors import UserError

TASKS = ("digits", "shapes")
SETTINGS = {
    "methods": [],
    "seeds": [],
    "orders": 1,
    "epochs": 8,
    "lr": None,
    "device": "auto",
    "augment": [],
    "precision": "fp32",
    "compile": False,
}


def sizes(task: int) -> dict[str, int]:
    return {"shared": 400, "task": task, "memory": 0, "heads": 0, "replay": 0, "frozen": 0}


def record(learned: int, accuracy: float, seconds: float) -> dict[str, Any]:
    evaluated = [{"task": task, "accuracy": accuracy, "images": 10} for task in range(1, learned + 1)]
    return {
        "learned": learned,
        "evaluated": evaluated,
        "evaluations": learned,
        "evaluation_seconds": 0.5,
        "inference_flops_per_image": 10,
        "training_flops": 1000,
        "training_seconds": seconds,
        "peak_memory_bytes": 100,
        "features_cached": False,
        "bytes_before": sizes(40 * (learned - 1)),
        "bytes": sizes(40 * learned),
    }


def write_run(
    path: Path,
    accuracies: dict[tuple[str, int, int], float | None],
    *,
    tasks: tuple[str, ...] = TASKS,
    orders: list[list[int]] | None = None,
    settings: dict[str, Any] | None = None,
    seconds: float = 1.0,
    cores: int = 2,
    **changes: Any,
) -> Path:
    """A run with these average accuracies; None for a cell that failed after its first task."""
    run = RunFolder(path)
    settings = SETTINGS | {"methods": list(dict.fromkeys(method for method, _, _ in accuracies))} | (settings or {})
    entries = []
    for (method, seed, order), accuracy in accuracies.items():
        folder = run.cell(method, seed, order)
        folder.mkdir(parents=True)
        for learned in range(1, (1 if accuracy is None else len(tasks)) + 1):
            content = record(learned, accuracy or 0.1, seconds)
            (folder / f"after-{learned}.json").write_text(json.dumps(content))
        (folder / "task-1.safetensors").write_bytes(b"tensors")
        status, cause = ("failed", "RuntimeError: out of luck") if accuracy is None else ("succeeded", None)
        entries.append({"method": method, "seed": seed, "order": order, "status": status, "cause": cause})
    manifest = {
        "status": "succeeded",
        "command": ["run", "--name", path.name],
        "settings": settings,
        "seeds": sorted({seed for _, seed, _ in accuracies}),
        "orders": orders or [list(range(1, len(tasks) + 1))],
        "stream": {"spec": "mini", "fingerprint": "s" * 64},
        "backbone": {"spec": "mini", "fingerprint": "b" * 64, "parameters": 100, "bytes": 400},
        "bounds": [],
        "reference": settings["methods"][0],
        "tasks": [
            {
                "task": number,
                "task_name": name,
                "classes": 5,
                "train_images": 90,
                "validation_images": 10,
                "test_images": 50,
                "image_size": 32,
                "fingerprint": "f" * 64,
                "sgd_flops": 100 * settings["epochs"],
                "backbone_inference_flops": 10,
            }
            for number, name in enumerate(tasks, 1)
        ],
        "versions": {"python": "3.11"},
        "commit": "c0ffee",
        "hardware": {"cores": cores},
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T01:00:00+00:00",
        "cells": entries,
    }
    for key, value in changes.items():
        manifest[key] = value(manifest.get(key))
    run.write_manifest(manifest)
    return path


def seeds(method: str, accuracies: list[float | None], first: int = 0) -> dict[tuple[str, int, int], float | None]:
    return {(method, seed, 0): accuracy for seed, accuracy in enumerate(accuracies, first)}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def report(path: Path) -> None:
    """Make the report of a run, as the process does that learned it."""
    run = RunFolder(path)
    write_report(collect(run, run.read_manifest()))


def compare(*options: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The rows of summary.csv by method, and the manifest, of a comparison called c."""
    assert main(["compare", *options, "--name", "c"]) == 0
    folder = Path("results/c")
    return pd.read_csv(folder / "summary.csv").set_index("method"), json.loads((folder / "manifest.json").read_text())


@pytest.mark.parametrize(
    ("workers", "asked", "shown"),
    [((1, 1), (False, False), True), ((1, 2), (False, False), False), ((1, 2), (False, True), True)],
)
def test_a_comparison_shows_seconds_if_all_its_runs_do(here, workers, asked, shown):
    for name, method, count, ask in zip("ab", ("sgd", "er"), workers, asked, strict=True):
        write_run(
            here / name,
            seeds(method, [0.5]),
            processes=lambda _, n=count: [{"workers": n}],
            show_seconds=lambda _, ask=ask: ask,
        )
    compare("a", "b")
    assert ("Training (s)" in Path("results/c/summary.md").read_text()) == shown


def refused(capsys, *options: str) -> str:
    assert main(["compare", *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err.removeprefix("error: ").strip()


def test_a_comparison_has_the_files_of_a_run_and_is_reported_again(here, capsys):
    write_run(here / "a", seeds("sgd", [0.5, 0.6]) | seeds("er", [0.7, None]))
    write_run(here / "b", seeds("clr", [0.8, 0.9]))
    summary, manifest = compare("a", "b")
    printed = capsys.readouterr().out
    assert "With 1 seed no difference can be called significant" in printed
    assert "Tables, figures and report.html are in results/c/" in printed
    assert summary["status"].to_dict() == {"sgd": "succeeded", "er": "failed", "clr": "succeeded"}
    assert summary["average_accuracy"].to_list() == pytest.approx([0.55, 0.7, 0.85])
    assert summary["normalized_seconds"].to_list() == [1, 1, 1]
    assert manifest["status"] == "failed"
    assert [(c["method"], c["seed"], c["status"], c["cause"], c["run"]) for c in manifest["cells"]] == [
        ("sgd", 0, "succeeded", None, "a"),
        ("sgd", 1, "succeeded", None, "a"),
        ("er", 0, "succeeded", None, "a"),
        ("er", 1, "failed", "RuntimeError: out of luck", "a"),
        ("clr", 0, "succeeded", None, "b"),
        ("clr", 1, "succeeded", None, "b"),
    ]
    assert manifest["command"] == ["compare", "a", "b", "--name", "c"]
    assert manifest["settings"] == SETTINGS | {
        "methods": ["sgd", "er", "clr"],
        "seeds": [0, 1],
    }
    assert manifest["runs"]["b"]["settings"]["methods"] == ["clr"]
    assert manifest["runs"]["b"]["commit"] == "c0ffee"

    folder = here / "results" / "c"
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {"report.html", "summary.tex", "ranks.csv", "statistics.csv", "figures/accuracy_matrix.svg"} <= names
    assert "cells/er/seed-1/after-1.json" in names
    assert not any(name.endswith(".safetensors") for name in names), "states are not copied"

    before = {name: (folder / name).read_bytes() for name in names}
    for run in "ab":
        (here / run).rename(here / f"{run}-elsewhere")
    for name in names - {"manifest.json"}:
        if not name.startswith("cells/"):
            (folder / name).unlink()
    assert main(["report", "c"]) == 0
    assert {name: (folder / name).read_bytes() for name in names} == before


@pytest.mark.usefixtures("quick_report")
def test_seeds_of_a_method_are_united(here):
    write_run(here / "a", seeds("clr", [0.1, 0.2]))
    write_run(here / "b", seeds("sgd", [0.3]) | seeds("clr", [0.6], first=5))
    summary, manifest = compare("b", "a")
    assert summary["seeds"].to_dict() == {"sgd": 1, "clr": 3}
    assert summary["average_accuracy"]["clr"] == pytest.approx(0.3)
    assert manifest["seeds"] == [0, 1, 5]
    assert [c["seed"] for c in manifest["cells"]] == [0, 0, 1, 5]


@pytest.mark.usefixtures("quick_report")
def test_the_same_cell_in_two_runs_is_there_once(here):
    write_run(here / "a", seeds("sgd", [0.5, 0.6]) | seeds("clr", [0.8, 0.9]), seconds=1.0)
    write_run(here / "b", seeds("sgd", [0.5, 0.6, 0.7]), seconds=9.0)
    summary, manifest = compare("a", "b")
    assert summary["seeds"].to_dict() == {"sgd": 3, "clr": 2}
    assert [c["run"] for c in manifest["cells"] if c["method"] == "sgd"] == ["a", "a", "b"]


@pytest.mark.usefixtures("quick_report")
@pytest.mark.parametrize("other", [[0.5, 0.61], [0.5, None]])
def test_a_cell_with_another_outcome_makes_a_row_with_its_runs_name(here, other):
    write_run(here / "a", seeds("sgd", [0.5, 0.6]))
    write_run(here / "b", seeds("sgd", other) | seeds("clr", [0.9]))
    write_run(here / "d", seeds("sgd", [0.5, 0.6]))
    summary, manifest = compare("a", "b", "d")
    assert summary["seeds"].to_dict() == {"sgd": 2, "sgd (b)": 2 - other.count(None), "clr": 1}
    assert [c["run"] for c in manifest["cells"]] == ["a", "a", "b", "b", "b"]
    assert Path("results/c/cells/sgd (b)/seed-1/after-1.json").is_file()


@pytest.mark.usefixtures("quick_report")
def test_other_training_is_told_by_the_labels(here):
    """Compute is over fine-tuning with the first run's epochs: 2 tasks x 8 epochs x 100 operations."""
    write_run(here / "a", seeds("sgd", [0.5]))
    write_run(here / "b", seeds("sgd", [0.7]), settings={"epochs": 16, "augment": ["flip", "crop"], "device": "cpu"})
    summary, manifest = compare("a", "b")
    assert list(summary.index) == ["sgd", "sgd (epochs=16, augment=flip+crop)"]
    assert summary["normalized_compute"].to_list() == [2000 / 1600] * 2
    assert manifest["settings"]["epochs"] == 8
    assert manifest["runs"]["b"]["settings"]["epochs"] == 16


@pytest.mark.parametrize(
    ("settings", "mark"),
    [
        ({}, ""),
        ({"device": "cpu", "seeds": [4], "stream": "other", "tasks": 2}, ""),
        ({"lr": 0.5}, " (lr=0.5)"),
        ({"augment": []}, " (augment=none)"),
        ({"precision": "bf16", "compile": True}, " (precision=bf16, compile=True)"),
        ({"equal_memory": "ewc"}, " (equal_memory=ewc)"),
        ({"memory_format": "contiguous"}, " (memory_format=contiguous)"),
        ({"memory_format": "channels-last"}, ""),
    ],
)
def test_what_a_label_says_of_other_training(settings, mark):
    reference = {"lr": None, "augment": ["flip"], "precision": "fp32", "compile": False, "device": "auto"}
    assert training_mark(reference | settings, reference) == mark
    assert training_mark(reference, reference | {"lr": 0.5}) == " (lr=default)"


@pytest.mark.usefixtures("quick_report")
def test_a_comparison_can_be_compared(here):
    write_run(here / "a", seeds("sgd", [0.5]))
    write_run(here / "b", seeds("sgd", [0.7]))
    compare("a", "b")
    write_run(here / "d", seeds("clr", [0.9]))
    assert main(["compare", "d", "c", "--name", "all"]) == 0
    assert pd.read_csv("results/all/summary.csv")["method"].tolist() == ["clr", "sgd", "sgd (b)"]


@pytest.mark.usefixtures("quick_report")
def test_orders_are_those_of_the_run_with_the_most(here):
    both = {("clr", 0, 0): 0.8, ("clr", 0, 1): 0.9}
    write_run(here / "a", seeds("sgd", [0.5, 0.4]))
    write_run(here / "b", both, orders=[[1, 2], [2, 1]])
    summary, manifest = compare("a", "b")
    assert manifest["orders"] == [[1, 2], [2, 1]]
    assert manifest["settings"]["orders"] == 2
    assert summary["seeds"].to_dict() == {"sgd": 2, "clr": 2}
    # Only seed 0 in order 0 was learned with both.
    assert pd.read_csv("results/c/statistics.csv")[["blocks", "mean_difference"]].to_numpy().tolist() == [
        [1, pytest.approx(-0.3)]
    ]


@pytest.mark.usefixtures("quick_report")
@pytest.mark.parametrize(("cores", "ratios"), [(2, [1.0, 3.0]), (64, [None, None])])
def test_seconds_of_other_hardware_are_not_set_against_each_other(here, cores, ratios):
    write_run(here / "a", seeds("sgd", [0.5]))
    write_run(here / "b", seeds("clr", [0.7]), seconds=3.0, cores=cores)
    summary, _ = compare("a", "b")
    assert (
        summary["normalized_seconds"].astype(object).where(summary["normalized_seconds"].notna(), None).tolist()
        == ratios
    )
    assert pd.read_csv("results/c/compute.csv")["training_seconds"].tolist() == [2.0, 6.0]


GPU_A, GPU_B = ["NVIDIA H200"], ["NVIDIA A100"]


def learned_on(device: str | None, gpus: list[str] | None, **more: Any) -> dict[str, Any]:
    """The only process of a run, as its manifest lists it; None for what an older version did not write."""
    entry = {"hardware": {"cores": 8} | ({} if gpus is None else {"gpus": gpus}), "tasks_left": 4, **more}
    return entry | ({} if device is None else {"device": device, "tf32": False})


@pytest.mark.usefixtures("quick_report")
@pytest.mark.parametrize(
    ("first", "second", "asked", "divided"),
    [
        # On the same machine, which has a GPU.
        (learned_on("cuda", GPU_A), learned_on("cuda", GPU_A), "auto", True),
        (learned_on("cpu", GPU_A), learned_on("cuda", GPU_A), "auto", False),
        (learned_on("cuda", GPU_A), learned_on("cuda", GPU_B), "auto", False),
        # A cell has one of them.
        (learned_on("cuda", GPU_A), learned_on("cuda", GPU_A * 2), "auto", True),
        # On the CPU, GPUs and their driver do not matter.
        (learned_on("cpu", GPU_A), learned_on("cpu", GPU_B), "auto", True),
        # A whole GPU, and a part of one.
        (learned_on("cuda", GPU_A, gpus_per_cell=1.0), learned_on("cuda", GPU_A, gpus_per_cell=0.25), "auto", False),
        # An older version, whose device follows from the option, or from its GPUs.
        (learned_on("cuda", GPU_A), learned_on(None, GPU_A), "auto", True),
        (learned_on("cuda", GPU_A), learned_on(None, GPU_A), "cpu", False),
        (learned_on("cpu", GPU_A), learned_on(None, GPU_A), "cpu", True),
        (learned_on("cpu", []), learned_on(None, []), "auto", True),
        # It may have been either.
        (learned_on("cuda", GPU_A), learned_on(None, None), "auto", False),
        (learned_on(None, None), learned_on(None, None), "auto", True),
        # Several workers, each on another GPU; a single one has the first.
        (learned_on("cuda", GPU_A + GPU_B, workers=2), learned_on("cuda", GPU_A + GPU_B, workers=2), "auto", False),
        (learned_on("cuda", GPU_A + GPU_B, workers=1), learned_on("cuda", GPU_A + GPU_B, workers=1), "auto", True),
        (learned_on("cuda", GPU_A * 2, workers=2), learned_on("cuda", GPU_A * 2, workers=2), "auto", True),
    ],
)
def test_seconds_of_another_device_are_not_set_against_each_other(here, first, second, asked, divided):
    for name, method, process, device in (("a", "sgd", first, "auto"), ("b", "clr", second, asked)):
        write_run(
            here / name,
            seeds(method, [0.5]),
            settings={"device": device},
            processes=lambda old, process=process: [process],
            hardware=lambda old, process=process: process["hardware"],
            show_seconds=lambda old: True,
        )
    summary, manifest = compare("a", "b")
    assert summary["normalized_seconds"].notna().all() == divided
    assert manifest["comparable_seconds"] is divided
    told = (
        "Times have no ratio, since they were measured on different hardware."
        in Path("results/c/summary.md").read_text()
    )
    assert told is not divided


@pytest.mark.usefixtures("quick_report")
@pytest.mark.parametrize("other", ["ewc", "lwf"])
def test_budgets_are_those_of_all_runs_or_told_by_the_labels(here, other):
    for name, method, meant in (("a", "er", "ewc"), ("b", "derpp", other)):
        budgets = {method: {"memory_bytes": 4096, "epochs": 8, "compute_ratio": None}}
        settings = {"equal_memory": meant, "equal_compute": None}
        write_run(here / name, seeds(method, [0.5]), settings=settings, budgets=lambda _, given=budgets: given)
    _, manifest = compare("a", "b")
    markdown = Path("results/c/summary.md").read_text()
    same = other == "ewc"
    assert list(manifest["budgets"]) == (["er", "derpp"] if same else [])
    assert ("as many bytes as ewc adds" in markdown) is same
    assert ("derpp (equal\\_memory=lwf)" in markdown) is not same


@pytest.mark.usefixtures("quick_report")
@pytest.mark.parametrize(
    ("status", "whole"),
    [("failed", "failed"), ("diverged", "failed"), ("pending", "incomplete"), ("running", "incomplete")],
)
def test_a_comparison_ended_as_its_cells_did(here, status, whole):
    write_run(here / "a", seeds("sgd", [0.5]))
    write_run(
        here / "b",
        seeds("clr", [None]),
        cells=lambda cells: [cell | {"status": status} for cell in cells],
        finished=lambda _: None,
    )
    _, manifest = compare("a", "b")
    assert manifest["status"] == whole
    assert manifest["finished"] is None


def changed(number: int, key: str, value: Any):
    return lambda tasks: [task | ({key: value} if task["task"] == number else {}) for task in tasks]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tasks": ("digits",)}, "the number of tasks is 2 in a and 1 in b"),
        ({"tasks": ("digits", "cells")}, "the name of task 2 is shapes in a and cells in b"),
        (
            {"tasks_changed": changed(1, "test_images", 40)},
            "the number of test images of task 1 (digits) is 50 in a and 40 in b",
        ),
        ({"tasks_changed": changed(2, "image_size", 64)}, "the image size of task 2 (shapes) is 32 in a and 64 in b"),
        (
            {"tasks_changed": changed(2, "fingerprint", "e" * 64)},
            f"the fingerprint of the images and labels of task 2 (shapes) is {'f' * 40} in a and {'e' * 40} in b",
        ),
        (
            {"backbone": lambda entry: entry | {"spec": "resnet18", "fingerprint": "d" * 64}},
            "the backbone is mini (bbbbbbbbbbbb) in a and resnet18 (dddddddddddd) in b",
        ),
        ({"orders": [[2, 1]]}, "order 0 of the tasks is 1,2 in a and 2,1 in b"),
    ],
)
def test_runs_that_cannot_be_compared(here, capsys, change, says):
    write_run(here / "a", seeds("sgd", [0.5]))
    arguments = dict(change)
    tasks_changed = arguments.pop("tasks_changed", None)
    path = write_run(here / "b", seeds("clr", [0.7]), **arguments)
    if tasks_changed:
        manifest = RunFolder(path).read_manifest()
        RunFolder(path).write_manifest(manifest | {"tasks": tasks_changed(manifest["tasks"])})
    said = refused(capsys, "a", "b")
    assert said == f"compare: {says}; only runs on the same stream and backbone can be compared"
    assert not (here / "results").exists()


def test_every_two_runs_are_checked(here, capsys):
    orders = [[1, 2, 3], [3, 2, 1]]
    write_run(here / "a", seeds("sgd", [0.5]), tasks=("x", "y", "z"))
    for name, order in (("b", [3, 2, 1]), ("d", [2, 3, 1])):
        write_run(here / name, seeds("clr", [0.7]), tasks=("x", "y", "z"), orders=[orders[0], order])
    assert refused(capsys, "a", "b", "d").startswith("compare: order 1 of the tasks is 3,2,1 in b and 2,3,1 in d;")


def test_what_are_not_two_runs_is_refused(here, capsys):
    write_run(here / "a", seeds("sgd", [0.5]))
    (here / "empty").mkdir()
    assert refused(capsys, "a") == "compare: a alone has nothing to be compared with; give two runs or more"
    assert refused(capsys, "a", "./a/") == "compare: a is given twice; give each run once"
    assert refused(capsys, "a", "gone") == (
        "compare: there is no run folder gone; give its path, or its name in results/"
    )
    assert refused(capsys, "a", "empty") == "empty is not a run folder: it holds no manifest.json"
    assert refused(capsys, "a", "empty", "--name", "x/y").startswith("--name x/y: write a folder's name of letters")
    assert not (here / "results").exists()


def test_a_folder_with_something_in_it_is_left_alone(here, capsys):
    for name in "ab":
        write_run(here / name, seeds("sgd", [0.5]))
    assert refused(capsys, "a", "b", "--out", ".", "--name", "b") == (
        "--name b: there is something in b already; give another --name"
    )


@pytest.mark.parametrize("step", ["results.join._copy_records", "report.write.write_report"])
def test_the_same_command_takes_the_place_of_one_that_was_killed(here, monkeypatch, step):
    for name, accuracy in (("a", 0.5), ("b", 0.6)):
        write_run(here / name, seeds("sgd", [accuracy]))
    child = os.fork()
    if not child:
        try:
            monkeypatch.setattr(f"benchmark.{step}", lambda *arguments: os._exit(9))
            compare("a", "b")
        finally:
            # Whatever happens, the child must not go on with the tests.
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    (left,) = (here / "results").iterdir()
    assert left.name.startswith(".continual-benchmark-")
    summary, _ = compare("a", "b")
    assert summary.index.tolist() == ["sgd", "sgd (b)"]
    assert [path.name for path in (here / "results").iterdir()] == ["c"]


def test_labels_that_would_share_a_folder_are_refused(here, capsys):
    write_run(here / "a", seeds("eft:path=x/y", [0.5]))
    write_run(here / "b", seeds("eft:path=x?y", [0.5]))
    assert refused(capsys, "a", "b") == (
        "compare: 'eft:path=x/y' and 'eft:path=x?y' would share a folder; compare other runs"
    )


@pytest.mark.usefixtures("quick_report")
def test_runs_of_one_name_are_called_as_they_were_typed(here):
    for place, accuracy in (("one", 0.5), ("two", 0.6)):
        write_run(here / place / "a", seeds("sgd", [accuracy]))
    summary, manifest = compare("one/a", "two/a")
    assert list(summary.index) == ["sgd", "sgd (two/a)"]
    assert list(manifest["runs"]) == ["one/a", "two/a"]
    assert str(here) not in json.dumps(manifest)


@pytest.mark.usefixtures("quick_report")
def test_a_run_does_not_go_on_in_the_folder_of_a_comparison(here):
    write_run(here / "a", seeds("sgd", [0.5]))
    write_run(here / "b", seeds("clr", [0.6]))
    _, manifest = compare("a", "b")
    with pytest.raises(UserError, match=r"^--name c: `compare` made that folder of other runs; give another --name$"):
        check_same(manifest, manifest, "--name", "c")


@pytest.mark.usefixtures("quick_report")
def test_five_seeds_of_four_methods(here):
    """What the tables and texts say where no difference can be significant."""
    write_run(here / "a", seeds("sgd", [0.50, 0.51, 0.52, 0.53, 0.54]) | seeds("er", [0.7] * 5))
    write_run(here / "b", seeds("clr", [0.80, 0.82, 0.84, 0.86, 0.88]) | seeds("ewc", [0.6] * 5))
    compare("a", "b", "--reference", "all")
    folder = Path("results/c")
    pairs = pd.read_csv(folder / "statistics.csv")
    assert len(pairs) == 6
    assert pairs["wilcoxon_p"].tolist() == [2 / 32] * 6
    assert not pairs["significant"].any()
    ranks = pd.read_csv(folder / "ranks.csv")
    assert ranks[["method", "blocks", "mean_rank"]].to_numpy().tolist() == [
        ["clr", 5, 1],
        ["er", 5, 2],
        ["ewc", 5, 3],
        ["sgd", 5, 4],
    ]
    markdown, latex = ((folder / f"summary.{kind}").read_text() for kind in ("md", "tex"))
    sentence = "With 5 seeds no difference can be called significant at 0.05, however large: "
    assert sentence in markdown
    assert sentence in latex
    assert f"| er | 2.00 | 70.0 | {MINUS}14.0 ± 3.9 | 0.375 |" in markdown
    assert r"2/2\textasciicircum{}5 = 0.0625, 0.375 after Holm" in latex
    assert latex.isascii()
    assert not (folder / "figures").exists()


@pytest.mark.usefixtures("quick_report")
def test_twelve_seeds_have_a_diagram(here):
    write_run(here / "a", seeds("sgd", [0.5 + k / 100 for k in range(12)]) | seeds("er", [0.7] * 12))
    write_run(here / "b", seeds("clr", [0.7, 0.9] * 6))
    compare("a", "b", "--reference", "all")
    assert pd.read_csv("results/c/statistics.csv")["significant"].tolist() == [True, True, True]
    assert Path("results/c/figures/critical_difference.svg").is_file()


@pytest.mark.usefixtures("quick_report")
def test_a_run_of_one_seed_says_that_it_is_one(here):
    write_run(here / "a", seeds("sgd", [0.5]) | seeds("clr", [0.9]))
    report(here / "a")
    said = "With 1 seed no difference can be called significant at 0.05, however large: the exact Wilcoxon signed-rank "
    markdown, latex = ((here / "a" / f"summary.{kind}").read_text() for kind in ("md", "tex"))
    assert markdown.endswith(f"\n\n{said}test gives no p below 2/2^1 = 1; at least 6 seeds are needed.\n")
    assert f"\n% {said}" in latex


def pairs_of(folder: str) -> list[list[str]]:
    return pd.read_csv(f"{folder}/statistics.csv")[["method_a", "method_b"]].to_numpy().tolist()


@pytest.mark.usefixtures("quick_report")
def test_the_reference_is_the_first_runs_unless_one_is_given(here, capsys):
    write_run(here / "a", seeds("sgd", [0.5, 0.6]) | seeds("er", [0.7] * 2), reference=lambda _: "er")
    write_run(here / "b", seeds("clr", [0.8, 0.9]))
    compare("a", "b")
    assert pairs_of("results/c") == [["sgd", "er"], ["er", "clr"]]
    assert main(["report", "results/c", "--reference", "clr"]) == 0
    assert pairs_of("results/c") == [["sgd", "clr"], ["er", "clr"]]
    # It is kept.
    assert main(["report", "results/c"]) == 0
    assert pairs_of("results/c") == [["sgd", "clr"], ["er", "clr"]]
    capsys.readouterr()
    assert main(["report", "results/c", "--reference", "ewc"]) == 2
    assert capsys.readouterr().err == (
        "error: --reference ewc is none of the methods here; give one of sgd, er, clr, or all to compare every two\n"
    )
    assert main(["compare", "a", "b", "--name", "d", "--reference", "ewc"]) == 2
    assert not Path("results/d").exists()


@pytest.mark.usefixtures("quick_report")
def test_bounds_stay_bounds(here):
    """In the second run, a plugin says what is a bound."""
    write_run(here / "a", seeds("joint", [0.9]) | seeds("er", [0.7]), bounds=lambda _: ["joint"])
    write_run(here / "b", seeds("mine", [0.9]), settings={"epochs": 16}, bounds=lambda _: ["mine"])
    compare("a", "b")
    assert json.loads(Path("results/c/manifest.json").read_text())["bounds"] == ["joint", "mine (epochs=16)"]


@pytest.mark.usefixtures("quick_report")
def test_options_and_recipes_go_with_their_methods(here):
    small, large = ({"options": {"memory": memory}, "recipe": {"lr": 0.1}} for memory in ("5", "50"))
    write_run(here / "a", seeds("er", [0.7]) | seeds("clr", [0.9]), methods=lambda _: {"er": small})
    write_run(here / "b", seeds("er", [0.8]), settings={"epochs": 16}, methods=lambda _: {"er": large})
    compare("a", "b")
    found = json.loads(Path("results/c/manifest.json").read_text())
    assert found["methods"] == {"er": small, "er (epochs=16)": large}
    assert "methods" not in found["runs"]["a"]
