"""Runs in which the task of a test image is not known: stopped and gone on with, evaluated anew, told to the reader."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from benchmark.checks.tiny import make_task
from benchmark.cli.main import main
from benchmark.config import Execution, Settings
from benchmark.planning.preparation import Prepared
from benchmark.progress.events import ignore
from benchmark.report.tables import summary_display
from benchmark.results.join import joined
from benchmark.results.run import Results, collect
from benchmark.running import runner
from benchmark.running.executors import cell_learner
from benchmark.streams.base import Stream
from methods.configured import configure
from methods.errors import UserError
from methods.network import Network

METHODS = {
    "class": (
        *("sgd", "ewc:storage=summed", "si", "lwf", "er:memory=9", "derpp:memory=9:logits=all"),
        *("icarl", "bic:memory=20", "ncm"),
    ),
    "domain": ("sgd", "online-ewc", "lwf", "derpp:memory=9", "joint", "sgd-ll", "slda", "ranpac:width=9"),
}


@pytest.fixture
def go(tiny_network: Network, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Results]:
    """go(folder, "class") -> the results of a run of several methods on the tiny network; nothing is drawn."""
    monkeypatch.setattr("benchmark.learning.memory.gc.collect", lambda: 0)
    monkeypatch.setattr(runner, "write_report", lambda results: None)

    def start(folder: Path, scenario: str, methods: tuple[str, ...] = (), **execution: Any) -> Results:
        widths = (3, 3, 3) if scenario == "domain" else (3, 2, 4)
        stream = Stream("tiny", tuple(make_task(number, width) for number, width in enumerate(widths, 1)))
        chosen = methods or METHODS[scenario]
        settings = Settings(methods=chosen, scenario=scenario, epochs=1, batch_size=8, orders=2)
        configured = tuple(configure(text) for text in settings.methods)
        prepared = Prepared(settings, configured, stream, tiny_network, torch.device("cpu"))
        return runner.run(prepared, Execution(jobs=1, **execution), folder, [], ignore)

    return start


@pytest.mark.parametrize("scenario", ["class", "domain"])
def test_killed_at_any_task_and_started_again(
    scenario: str,
    go: Callable[..., Results],
    tmp_path: Path,
    states: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = go(tmp_path / "whole", scenario, verify_evaluations=True)
    save, written = cell_learner.save, []

    def dies(*args: Any) -> None:
        written.append(args)
        if len(written) in (2, 7, 9, 20):
            raise KeyboardInterrupt
        save(*args)

    monkeypatch.setattr(cell_learner, "save", dies)
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path / "killed", scenario)
    again = go(tmp_path / "killed", scenario)
    assert states(tmp_path / "killed") == states(tmp_path / "whole")
    assert again.accuracy.equals(whole.accuracy)
    assert set(again.summary["status"]) == {"succeeded"}


@pytest.fixture
def folder_stream(tmp_path: Path) -> str:
    """Three tasks of files, each with the same two classes, so that they are domains too."""
    random = np.random.RandomState(0)
    for task in ("one", "two", "three"):
        for split, count in (("train", 16), ("test", 6)):
            for name, colour in (("dark", 60), ("light", 190)):
                folder = tmp_path / "tasks" / task / split / name
                folder.mkdir(parents=True)
                for number in range(count):
                    pixels = random.randint(colour - 60, colour + 60, (16, 16, 3)).astype(np.uint8)
                    Image.fromarray(pixels).save(folder / f"{number}.png")
    return f"folder:{tmp_path / 'tasks'}"


@pytest.mark.parametrize("scenario", ["class", "domain"])
@pytest.mark.usefixtures("quick_report", "one_thread")
def test_a_process_that_was_killed_and_a_report_give_the_same_bytes(
    scenario: str, folder_stream: str, tmp_path: Path, states: Callable[..., Any], exact: Callable[..., Any]
) -> None:
    """SIGKILL while `si` learns its second task. Then a report from the answers alone, without a state."""

    def command(name: str) -> list[str]:
        options = f"--methods er,si --scenario {scenario} --image-size 16 --epochs 4 --batch-size 4 --jobs 1"
        return ["run", "--stream", folder_stream, *options.split(), "--out", str(tmp_path), "--name", name]

    assert main([*command("whole"), "--verify-evaluations"]) == 0
    cell = tmp_path / "killed" / "cells" / "si" / "seed-0"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    process = subprocess.Popen([sys.executable, "-m", "benchmark", *command("killed")], env=environment)
    while not (cell / "after-1.json").exists():
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (cell / "after-3.json").exists(), "killed too late to test anything"
    assert main(command("killed")) == 0
    assert states(tmp_path / "killed") == states(tmp_path / "whole")
    assert exact(tmp_path / "killed") == exact(tmp_path / "whole")

    run = tmp_path / "whole"
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for path in before:
        if path.suffix in (".csv", ".md", ".tex") or (path.suffix == ".safetensors" and "answers" not in path.name):
            path.unlink()
    assert main(["report", str(run)]) == 0
    again = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert all(content == before[path] for path, content in again.items())
    assert {path.name for path in before.keys() - again.keys()} >= {"shared-3.safetensors", "memory-3.safetensors"}
    assert not any(path.suffix == ".csv" for path in before.keys() - again.keys())


@pytest.mark.parametrize("first", ["task", "class"])
def test_a_comparison_of_scenarios_says_so_and_changes_no_number(
    first: str, go: Callable[..., Results], tmp_path: Path
) -> None:
    """The answers of each run keep their meaning, whichever run comes first."""
    whole = {scenario: go(tmp_path / scenario, scenario, ("er:memory=9",)) for scenario in ("task", "class")}
    second = "class" if first == "task" else "task"
    with joined([tmp_path / first, tmp_path / second], tmp_path / "both", []) as run:
        results = collect(run, run.read_manifest())
    marked = f"er:memory=9 (scenario={second})"
    assert list(results.summary["method"]) == ["er:memory=9", marked]
    for label, scenario in (("er:memory=9", first), (marked, second)):
        for name in ("accuracy", "classes"):
            found, alone = (getattr(each, name) for each in (results, whole[scenario]))
            found = found[found["method"] == label].drop(columns="method").reset_index(drop=True)
            pd.testing.assert_frame_equal(found, alone.drop(columns="method").reset_index(drop=True))
    assert len(set(results.summary["average_accuracy"])) == 2
    caption = summary_display(results).caption
    assert f" The runs ask different questions ({first}, {second}): " in caption
    assert f"A method without a mark is asked in the scenario {first}." in caption
    assert "an answer is one of the classes of all tasks" not in caption


def test_each_record_has_both_accuracies_and_every_task_is_asked_again_among_more_classes(
    go: Callable[..., Results], tmp_path: Path
) -> None:
    go(tmp_path / "run", "class", ("er:memory=9",))
    records = [json.loads(path.read_text()) for path in sorted((tmp_path / "run").rglob("after-*.json"))]
    assert [record["evaluations"] for record in records] == [1, 2, 3] * 2
    entries = [entry for record in records for entry in record["evaluated"]]
    assert all(entry["derived"] >= entry["accuracy"] for entry in entries)
    assert all(record["evaluated"][0]["derived"] == record["evaluated"][0]["accuracy"] for record in records[::3])
    assert len({entry["fingerprint"] for entry in entries}) == len(entries)


def test_a_head_that_no_longer_changes_is_asked_again_all_the_same(go: Callable[..., Results], tmp_path: Path) -> None:
    """All logits: the shape stays; nearly no learning rate: the values stay. Yet more classes compete."""
    go(tmp_path / "run", "class", ("sgd:logits=all:lr=1e-30:bn=frozen",))
    first = [json.loads((path).read_text()) for path in sorted((tmp_path / "run").rglob("after-*.json"))[:3]]
    checksums = [[value for stem, value in record["checksums"].items() if "shared" in stem] for record in first]
    assert checksums[0] == checksums[1] == checksums[2]
    assert [record["evaluations"] for record in first] == [1, 2, 3]


def test_the_operations_of_fine_tuning_are_those_of_the_growing_head(
    go: Callable[..., Results], tmp_path: Path
) -> None:
    compute = go(tmp_path / "run", "class", ("sgd", "lwf")).compute.set_index("method")
    # The other order has wider heads earlier.
    assert compute.loc["sgd", "normalized_compute"] == pytest.approx(1, rel=0.02)


def test_the_reader_is_told(go: Callable[..., Results], tmp_path: Path) -> None:
    asked = "The task of a test image is not known"
    results = go(tmp_path / "run", "class", ("sgd",))
    assert f" {asked}: an answer is one of the classes of all tasks so far (class)." in summary_display(results).caption
    assert results.manifest.settings["scenario"] == "class"
    assert f" {asked}; all tasks have the same classes (domain)." in (
        summary_display(go(tmp_path / "domain", "domain", ("sgd",))).caption
    )
    known = go(tmp_path / "known", "task", ("sgd",))
    assert asked not in summary_display(known).caption


def test_a_run_goes_on_in_its_own_scenario_and_older_ones_know_the_task(
    go: Callable[..., Results], tmp_path: Path
) -> None:
    go(tmp_path / "run", "task", ("sgd",))
    path = tmp_path / "run" / "manifest.json"
    manifest = json.loads(path.read_text())
    assert manifest["settings"].pop("scenario") == "task"
    manifest.pop("sha256", None)
    path.write_text(json.dumps(manifest))
    go(tmp_path / "run", "task", ("sgd",))
    with pytest.raises(UserError, match="that run exists with --scenario task, not class"):
        go(tmp_path / "run", "class", ("sgd",))
