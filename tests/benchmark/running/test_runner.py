"""The runner: the same command gives the same bytes, and a killed run that is started again gives them too."""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from benchmark.cli.main import main
from benchmark.config import Execution, Settings
from benchmark.machine import gpus
from benchmark.machine.gpus import Gpu
from benchmark.planning.preparation import Prepared
from benchmark.progress.events import EpochDone, Listener, Placed
from benchmark.running import runner
from benchmark.running.executors.cells import Job
from benchmark.running.executors.processes import ProcessExecutor
from benchmark.running.executors.serial import SerialExecutor
from benchmark.running.runner import run
from benchmark.storage.folder import RunFolder
from benchmark.storage.manifest import Manifest
from benchmark.streams.base import Stream, Task
from benchmark.streams.orders import draw_orders, reordered
from methods.configured import configure
from methods.errors import UserError
from methods.network import Network

METHODS = "clr,er,ewc,sgd-ll"
OPTIONS = ["--methods", METHODS, "--tasks", "3", "--train-images", "60", "--test-images", "40", "--epochs", "2"]
FILES = ("accuracy", "summary", "parameters", "compute", "efficiency", "tasks", "classes", "ranks", "statistics")


def command(out: Path, name: str) -> list[str]:
    return ["run", *OPTIONS, "--jobs", "1", "--out", str(out), "--name", name]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    assert main(command(out, "straight")) == 0
    return out / "straight"


def test_leaves_every_file_of_the_contract(uninterrupted: Path) -> None:
    names = {path.name for path in uninterrupted.iterdir()}
    csv = {f"{name}.csv" for name in FILES}
    assert names == csv | {
        "summary.md",
        "summary.tex",
        "manifest.json",
        "config.toml",
        "run.log",
        "figures",
        "report.html",
        "cells",
        "test-images",
    }
    figures = ("first_task_accuracy", "average_accuracy", "accuracy_vs_parameters", "accuracy_vs_compute", "stored")
    expected = {f"{name}.{kind}" for name in (*figures, "accuracy_matrix") for kind in ("svg", "png")}
    assert {path.name for path in (uninterrupted / "figures").iterdir()} == expected
    assert {path.name for path in (uninterrupted / "cells" / "ewc" / "seed-0").iterdir()} == {
        *(f"after-{k}.json" for k in (1, 2, 3)),
        *(f"answers-{k}.safetensors" for k in (1, 2, 3)),
        *(f"task-{t}.safetensors" for t in (1, 2, 3)),
        "shared-3.safetensors",
        "memory-3.safetensors",
    }


def test_the_same_command_gives_the_same_bytes(uninterrupted: Path, tmp_path: Path, exact: Callable) -> None:
    assert main(command(tmp_path, "again")) == 0
    assert exact(tmp_path / "again") == exact(uninterrupted)
    for path in uninterrupted.rglob("*.safetensors"):
        assert (tmp_path / "again" / path.relative_to(uninterrupted)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("method", ["clr", "er"])
def test_killed_in_the_middle_of_a_task_and_started_again(
    uninterrupted: Path, tmp_path: Path, method: str, exact: Callable
) -> None:
    """SIGKILL while the second task of a method is learned; the first one is not learned again."""
    cell = tmp_path / "killed" / "cells" / method / "seed-0"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    process = subprocess.Popen([sys.executable, "-m", "benchmark", *command(tmp_path, "killed")], env=environment)
    while not (cell / "after-1.json").exists():
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (cell / "after-3.json").exists(), "killed too late to test anything"
    first = (cell / "after-1.json").stat().st_mtime_ns

    assert main(command(tmp_path, "killed")) == 0
    assert (cell / "after-1.json").stat().st_mtime_ns == first
    assert exact(tmp_path / "killed") == exact(uninterrupted)
    for path in (*uninterrupted.rglob("answers-*"), *uninterrupted.glob("test-images/*")):
        assert (tmp_path / "killed" / path.relative_to(uninterrupted)).read_bytes() == path.read_bytes()


def test_report_makes_everything_again_without_a_network(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def contents(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a network was asked")

    monkeypatch.setattr(torch.nn.Module, "__call__", refuse)
    run = tmp_path / "straight"
    shutil.copytree(uninterrupted, run)
    before = contents(run)
    shutil.rmtree(run / "figures")
    for path in run.iterdir():
        if path.suffix in (".csv", ".md", ".tex", ".html"):
            path.unlink()
    for path in run.rglob("*.safetensors"):
        if not path.name.startswith("answers-"):
            path.unlink()
            del before[str(path.relative_to(run))]
    assert main(["report", str(run)]) == 0
    assert contents(run) == before


def test_another_thing_changes_the_bytes(uninterrupted: Path, tmp_path: Path, exact: Callable) -> None:
    assert main([*command(tmp_path, "seed"), "--seeds", "5,"]) == 0
    other = exact(tmp_path / "seed")
    assert other["accuracy"] != exact(uninterrupted)["accuracy"]
    assert other["tasks"] == exact(uninterrupted)["tasks"]
    assert other["parameters"] == exact(uninterrupted)["parameters"]


def test_isolated_tasks_are_evaluated_once(uninterrupted: Path) -> None:
    compute = pd.read_csv(uninterrupted / "compute.csv").set_index("method")["evaluations"]
    assert compute.to_dict() == {"clr": 3, "er": 6, "ewc": 6, "sgd-ll": 6}


def test_what_clr_learned_stays_to_the_last_digit(uninterrupted: Path) -> None:
    accuracy = pd.read_csv(uninterrupted / "accuracy.csv", dtype=str)
    clr = accuracy[accuracy["method"] == "clr"]
    assert (clr.groupby("task")["accuracy"].nunique() == 1).all()
    assert len(clr) == 6


def test_one_order_is_what_there_is_without_the_option(tmp_path: Path, exact: Callable) -> None:
    least = "run --methods sgd-ll --tasks 2 --train-images 20 --test-images 10 --epochs 1 --seeds 2"
    for name, option in (("without", ""), ("one", "--orders 1")):
        assert main([*f"{least} {option} --name {name} --out".split(), str(tmp_path)]) == 0
    assert exact(tmp_path / "one") == exact(tmp_path / "without")
    header = (tmp_path / "one" / "accuracy.csv").read_text().partition("\n")[0]
    assert header == "method,seed,learned,task,task_name,accuracy,images,answer"
    assert sorted(path.name for path in (tmp_path / "one" / "cells" / "sgd-ll").iterdir()) == ["seed-0", "seed-1"]


@pytest.mark.parametrize(("method", "same"), [("ncm", True), ("slda", True), ("linear-probe", False), ("clr", False)])
def test_what_draws_nothing_is_the_same_with_each_seed(method: str, same: bool, tmp_path: Path) -> None:
    """As docs/referee.md says."""
    least = f"run --methods {method} --tasks 2 --train-images 20 --test-images 10 --epochs 1 --seeds 2 --name a"
    assert main([*least.split(), "--jobs", "1", "--out", str(tmp_path)]) == 0
    seeds = [tmp_path / "a" / "cells" / method / f"seed-{seed}" / "task-2.safetensors" for seed in (0, 1)]
    assert (seeds[0].read_bytes() == seeds[1].read_bytes()) == same


@pytest.fixture
def go(
    tiny_network: Network, make_listener: Callable, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[RunFolder, Any]]:
    """go(folder, stream, orders=2) -> a run of two methods with two seeds on the tiny network, and what was heard."""
    # Before each task, for its peak memory: it would take longer than all that is learned.
    monkeypatch.setattr("benchmark.learning.memory.gc.collect", lambda: 0)

    def start(folder: Path, stream: Stream, **options: Any) -> tuple[RunFolder, Any]:
        settings = Settings(methods=("sgd", "clr"), seeds=(0, 5), epochs=1, batch_size=8, **options)
        chosen = tuple(configure(text) for text in settings.methods)
        listener = make_listener()
        prepared = Prepared(settings, chosen, stream, tiny_network, torch.device("cpu"))
        run(prepared, Execution(jobs=1, keep_states=True), folder, [], listener)
        return RunFolder(folder), listener

    return start


def test_every_method_and_seed_learns_the_same_orders(
    go: Callable, tiny_tasks: tuple[Task, ...], tmp_path: Path
) -> None:
    stream = Stream("tiny", tiny_tasks)
    both, heard = go(tmp_path / "both", stream, orders=3)
    assert [name for name, _ in heard.cells] == [
        f"{method}, seed {seed}, order {order}" for method in ("sgd", "clr") for seed in (0, 5) for order in (0, 1, 2)
    ]
    manifest = both.read_manifest()
    own, *others = manifest["orders"]
    assert own == [1, 2, 3]
    assert own not in others
    accuracy = pd.read_csv(both.path / "accuracy.csv")
    last = accuracy[accuracy["learned"] == 3]
    for (_, _, order), names in last.groupby(["method", "seed", "order"])["task_name"]:
        assert names.tolist() == [f"task-{number}" for number in manifest["orders"][order]]
    assert pd.read_csv(both.path / "tasks.csv")["task_name"].tolist() == ["task-1", "task-2", "task-3"]
    assert pd.read_csv(both.path / "summary.csv")["seeds"].tolist() == [6, 6]

    # Each order is a run of a stream in that order.
    for order, tasks in enumerate(manifest["orders"][:2]):
        alone, heard = go(tmp_path / f"order-{order}", reordered(stream, tasks))
        assert heard.cells[1] == ("sgd, seed 5", 0)
        expected = accuracy[accuracy["order"] == order].drop(columns="order").reset_index(drop=True)
        pd.testing.assert_frame_equal(pd.read_csv(alone.path / "accuracy.csv"), expected, check_exact=True)


def test_with_as_many_orders_as_seeds_each_seed_has_an_order_of_its_own(
    go: Callable, tiny_tasks: tuple[Task, ...], tmp_path: Path
) -> None:
    folder, _ = go(tmp_path, Stream("tiny", tiny_tasks), orders=2)
    repetitions = [(cell["seed"], cell["order"]) for cell in folder.read_manifest()["cells"]]
    assert repetitions == [(0, 0), (5, 1)] * 2
    assert pd.read_csv(tmp_path / "summary.csv")[["seeds", "blocks"]].to_numpy().tolist() == [[2, 2], [2, 2]]


def test_a_run_of_each_seed_in_each_order_goes_on_as_it_began(
    go: Callable, tiny_tasks: tuple[Task, ...], tmp_path: Path
) -> None:
    folder, _ = go(tmp_path, Stream("tiny", tiny_tasks), orders=2)
    manifest = folder.read_manifest()
    manifest["cells"] = [{**cell, "order": order} for cell in manifest["cells"] for order in (0, 1)]
    folder.write_manifest(manifest)
    _, heard = go(tmp_path, Stream("tiny", tiny_tasks), orders=2)
    assert len(heard.cells) == 8
    assert pd.read_csv(tmp_path / "summary.csv")[["seeds", "blocks"]].to_numpy().tolist() == [[4, 2], [4, 2]]


def test_a_run_goes_on_in_the_orders_it_began_with(go: Callable, tiny_tasks: tuple[Task, ...], tmp_path: Path) -> None:
    """Orders follow from the names of the tasks; those may change, as a folder's, and the images stay the same."""
    began, _ = go(tmp_path, Stream("tiny", tiny_tasks), orders=3)
    before = (tmp_path / "accuracy.csv").read_bytes()
    renamed = tuple(replace(task, name=f"{task.name}!") for task in tiny_tasks)
    orders = began.read_manifest()["orders"]
    assert draw_orders([task.name for task in renamed], 3) != orders

    cell = began.cell("sgd", 5, order=2)
    (cell / "after-3.json").unlink()
    _, heard = go(tmp_path, Stream("tiny", renamed), orders=3)
    assert ("sgd, seed 5, order 2", 2) in heard.cells
    assert (cell / "after-3.json").exists()
    assert (tmp_path / "accuracy.csv").read_bytes() == before


def test_a_run_of_a_version_with_other_random_numbers_does_not_go_on(
    uninterrupted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its later tasks would be learned, and contexts made again, with numbers that do not fit the earlier ones."""
    shutil.copytree(uninterrupted, tmp_path / "old")
    manifest = json.loads((tmp_path / "old" / "manifest.json").read_text())
    del manifest["random_numbers"]
    (tmp_path / "old" / "manifest.json").write_text(json.dumps(manifest))
    assert main(command(tmp_path, "old")) == 2
    assert capsys.readouterr().err == (
        "error: --name old: that run exists, but this version of the program draws other random numbers; "
        "go on with the version that began it, or give another --name\n"
    )
    assert main(["report", str(tmp_path / "old")]) == 0


def test_one_order_of_a_method_may_fail(
    go: Callable, tiny_tasks: tuple[Task, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlucky(folder: Path, *arguments: Any) -> Any:
        if folder.name == "seed-5-order-2" and folder.parent.name == "clr":
            raise RuntimeError("out of luck")
        return load(folder, *arguments)

    load = sys.modules["benchmark.running.executors.cell_learner"].load
    monkeypatch.setattr("benchmark.running.executors.cell_learner.load", unlucky)
    folder, heard = go(tmp_path, Stream("tiny", tiny_tasks), orders=3)
    assert heard.failures == [("clr, seed 5, order 2", "RuntimeError: out of luck")]
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert summary[["method", "seeds", "status"]].to_numpy().tolist() == [["sgd", 6, "succeeded"], ["clr", 5, "failed"]]
    assert len(folder.read_manifest()["cells"]) == 12


def test_more_orders_than_the_stream_has_are_refused_before_anything_is_written(
    go: Callable, tiny_tasks: tuple[Task, ...], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"^--orders 7 must be at most 6: a stream of length 3 has no more orders$"):
        go(tmp_path / "run", Stream("tiny", tiny_tasks), orders=7)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("quota", "asked", "threads"), [(2, None, 2), (2, "3", 3), (4, None, 3), (None, None, 3)])
def test_a_container_with_little_time_has_few_threads(
    monkeypatch: pytest.MonkeyPatch, one_thread: None, quota: int | None, asked: str | None, threads: int
):
    monkeypatch.setattr(runner, "cpu_quota", lambda: quota)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    torch.set_num_threads(3)
    runner._limit_threads()
    assert torch.get_num_threads() == threads


@pytest.mark.usefixtures("quick_report", "one_thread")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_process_that_gives_out_jobs_never_touches_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exact: Callable, jobs: str
) -> None:
    """On a machine with a GPU that is made up: cells are learned on the CPU instead, and the rest is as always."""
    options = ["--methods", "clr,er", "--tasks", "2", "--train-images", "40", "--test-images", "20"]
    options += ["--epochs", "1", "--out", str(tmp_path), "--jobs", jobs, "--name"]
    assert main(["run", *options, "cpu", "--device", "cpu", "--jobs", "1"]) == 0

    def touch() -> None:
        touched.append(traceback.format_stack())
        raise RuntimeError("CUDA begins")

    def learn(executor: ProcessExecutor, waiting: deque[Job], tell: Listener) -> None:
        assert (executor.workers, executor.plan.share) == (int(jobs), 1 / int(jobs))
        settings = replace(executor.plan.settings, device="cpu", precision="fp32", compile=False)
        plan = replace(executor.plan, settings=settings, share=0.0)
        with monkeypatch.context() as worker:
            worker.setattr("torch.cuda.is_available", lambda: False)
            SerialExecutor(plan.learner(plan.prepare())).run(waiting, tell)

    touched: list[list[str]] = []
    asked: list[str] = []
    monkeypatch.setattr("torch.cuda._lazy_init", touch)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("benchmark.planning.preparation.ask", lambda f, *given: asked.append(f.__name__))
    monkeypatch.setattr("benchmark.planning.preparation.warm_up", lambda: None)
    monkeypatch.setattr(gpus, "_asked", cache(gpus._asked.__wrapped__))
    made_up = (Gpu("made up", 80 << 30, (8, 0)),)
    monkeypatch.setattr(gpus, "ask", lambda f: asked.append(f.__name__) or made_up)
    monkeypatch.setattr(ProcessExecutor, "run", learn)
    assert main(["run", *options, "gpu", "--device", "cuda", "--precision", "bf16", "--compile"]) == 0
    assert touched == []
    # These use the GPU, in another process.
    assert asked == ["_found", "check_compiler"]
    assert json.loads((tmp_path / "gpu" / "manifest.json").read_bytes())["hardware"]["gpus"] == ["made up"]
    assert exact(tmp_path / "gpu") == exact(tmp_path / "cpu")


def test_jobs_tell_on_which_machines_they_run() -> None:
    process = {"device": "cuda", "tf32": False, "workers": 2, "tasks_left": 3, "versions": {}, "hardware": {}}
    manifest = Manifest({"settings": {}, "processes": [process], "versions": {}, "hardware": {}})
    listener = runner._placed(manifest, process)
    first = {"versions": {"torch": "2.15"}, "hardware": {"processor": "A", "gpus": ["H200"]}}
    listener(Placed(first))
    # Another job on a machine of the same kind.
    listener(Placed(copy.deepcopy(first)))
    listener(EpochDone("er"))
    for entry in (process, manifest):
        assert (entry["versions"], entry["hardware"]) == (first["versions"], first["hardware"])
    assert manifest.comparable_seconds
    listener(Placed({"versions": {"torch": "2.15"}, "hardware": {"processor": "B", "gpus": ["T4"]}}))
    assert process["versions"] == {"torch": "2.15"}
    assert process["hardware"] == manifest["hardware"] == {"processor": ["A", "B"], "gpus": ["H200", "T4"]}
    assert not manifest.comparable_seconds


def test_what_later_machines_are_does_not_change_what_the_first_process_had() -> None:
    old = {"device": "cpu", "tf32": False, "workers": 1, "tasks_left": 4, "versions": {}, "hardware": {"machine": "x"}}
    new = {"device": "cpu", "tf32": False, "workers": 1, "tasks_left": 2, "versions": {}, "hardware": {}}
    manifest = Manifest({"settings": {}, "processes": [old, new], "versions": {}, "hardware": {"machine": "x"}})
    runner._placed(manifest, new)(Placed({"versions": {}, "hardware": {"machine": "y", "gpus": []}}))
    assert manifest["hardware"] == old["hardware"] == {"machine": "x"}
    assert new["hardware"] == {"machine": "y", "gpus": []}
    assert not manifest.comparable_seconds
