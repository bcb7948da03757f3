"""Worker processes: the same files as without them, whatever happens to one of them, and none is left behind."""

from __future__ import annotations

import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.cli.main import main
from benchmark.planning.preparation import prepare_run
from benchmark.running.executors.cells import Job
from benchmark.running.executors.processes import ProcessExecutor, _how_it_ended, _visible
from benchmark.running.executors.serial import SerialExecutor

ROOT = Path(__file__).parents[4]


def cell(label: str) -> Job:
    return Job(f"{label}, seed 0", (label, 0, 0))


def single(label: str, task: int) -> Job:
    return Job(f"{label}, seed 0, task {task}", (label, 0, 0), task)


def test_the_files_are_those_of_one_process_even_if_a_worker_is_killed(
    place: Any, make_listener: Callable, states: Callable, monkeypatch: pytest.MonkeyPatch
):
    labels = ("mortal", "er", "clr")
    jobs = [cell("mortal"), cell("er"), single("clr", 2), single("clr", 1)]
    plan = place.plan("alone", *labels)
    alone = SerialExecutor(plan.learner(prepare_run(plan.settings, print)))
    done = {job.name: None for job in jobs}
    assert place.do(alone, jobs, make_listener()) == done

    place.tell("die")
    heard, workers = make_listener(), list[Any]()
    start = ProcessExecutor.start
    monkeypatch.setattr(ProcessExecutor, "start", lambda *of: workers.append(start(*of)) or workers[-1])
    assert place.do(ProcessExecutor(place.plan("workers", *labels), 2), jobs, heard) == done
    assert not (place.path / "die").exists()
    # A new worker took over, or the other one if it had nothing else to do.
    assert len(workers) in (2, 3)
    # All were waited for, the one that died too, and nothing of them is left open.
    assert all(worker.process._popen.returncode is not None for worker in workers)
    assert all(worker.pipe.closed for worker in workers)
    # The second worker goes on behind the first task.
    assert [begun for name, begun in heard.cells if name == "mortal, seed 0"] == [0, 1]
    assert states(place.path / "workers") == states(place.path / "alone")


def test_a_job_that_kills_two_workers_costs_only_itself(place: Any, make_listener: Callable, states: Callable):
    place.tell("die")
    executor = ProcessExecutor(place.plan("run", "doomed", "sgd"), 2)
    assert place.do(executor, [cell("doomed"), cell("sgd")], make_listener()) == {
        "doomed, seed 0": "the process that learned doomed was killed by signal SIGKILL (as the system does when "
        "memory runs out; fewer --jobs or a smaller --batch-size need less), twice",
        "sgd, seed 0": None,
    }


def test_a_worker_that_lost_its_gpu_is_replaced(
    place: Any, make_listener: Callable, states: Callable, monkeypatch: pytest.MonkeyPatch
):
    """With one job too."""
    jobs = [cell("wrong"), cell("small")]
    done = {job.name: None for job in jobs}
    assert place.do(ProcessExecutor(place.plan("undisturbed", "wrong", "small"), 1), jobs, make_listener()) == done

    place.tell("assert")
    started = list[Any]()
    start = ProcessExecutor.start
    monkeypatch.setattr(ProcessExecutor, "start", lambda *of: started.append(start(*of)) or started[-1])
    heard = make_listener()
    assert place.do(ProcessExecutor(place.plan("run", "wrong", "small"), 1), jobs, heard) == done
    assert len(started) == 2
    assert (place.path / "broken").read_text() == str(started[0].process.pid)
    # The second worker goes on behind the first task.
    assert [begun for name, begun in heard.cells if name == "wrong, seed 0"] == [0, 1]
    assert states(place.path / "run") == states(place.path / "undisturbed")


def test_what_had_too_little_memory_is_learned_alone(place: Any, make_listener: Callable, states: Callable):
    labels = ("large", "small", "sgd")
    jobs = [cell(label) for label in labels]
    done = {job.name: None for job in jobs}
    assert place.do(ProcessExecutor(place.plan("undisturbed", *labels), 1), jobs, make_listener()) == done

    place.tell("fill")
    began = make_listener()
    assert place.do(ProcessExecutor(place.plan("run", *labels), 2), jobs, began) == done
    assert began.cells[-1] == ("large, seed 0", 1)
    assert (place.path / "beside").read_text() == ""
    assert states(place.path / "run") == states(place.path / "undisturbed")


def test_what_the_gpu_refuses_again_and_again_costs_only_itself(place: Any, make_listener: Callable):
    place.tell("fill")
    place.tell("assert")
    labels = ("too-large", "always-wrong", "small")
    assert place.do(ProcessExecutor(place.plan("run", *labels), 2), list(map(cell, labels)), make_listener()) == {
        "too-large, seed 0": "alone on a whole GPU, as with --gpus-per-cell 1: OutOfMemoryError: CUDA out of memory. "
        "Tried to allocate 2.00 GiB; a smaller --batch-size needs less memory",
        "always-wrong, seed 0": "AcceleratorError: CUDA error: device-side assert triggered, in each of 2 processes; "
        "CUDA_LAUNCH_BLOCKING=1 shows where",
        "small, seed 0": None,
    }


@pytest.mark.parametrize(("gpus", "share"), [((1, 1), 0.5), ((), 0.0)])
def test_a_job_that_is_alone_has_the_whole_gpu(
    place: Any, monkeypatch: pytest.MonkeyPatch, gpus: tuple[int, ...], share: float
):
    begun = list[Any]()

    class Context:
        Pipe = staticmethod(multiprocessing.Pipe)

        class Process:
            def __init__(self, target: Callable, args: tuple, daemon: bool):
                begun.append((args[1].share, args[2]))

            def start(self) -> None:
                pass

    monkeypatch.setattr("benchmark.running.executors.processes.context", Context)
    executor = ProcessExecutor(replace(place.plan("run", "sgd"), share=share), 2, gpus)
    for alone in (False, True):
        executor.start(0, alone)
    assert begun == ([(0.5, 1), (1.0, 1)] if gpus else [(0.0, None), (0.0, None)])


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (1, "ended with status 1"),
        (-11, "was killed by signal SIGSEGV (segmentation fault)"),
        (-6, "was killed by signal SIGABRT (abort, as when memory was overwritten)"),
        (-15, "was killed by signal SIGTERM"),
        (-40, "was killed by signal 40"),
    ],
)
def test_how_a_process_ended_is_told(code: int, says: str):
    assert _how_it_ended(code) == says


def test_what_only_a_worker_cannot_use_is_one_sentence(place: Any, make_listener: Callable):
    place.plugin.write_text(
        "from methods.errors import UserError\nraise UserError('plugin.py: this node has no licence')\n"
    )
    executor = ProcessExecutor(place.plan("run", "sgd", "clr"), 2)
    cause = "plugin.py: this node has no licence"
    assert place.do(executor, [cell("sgd"), cell("clr")], make_listener()) == {
        "sgd, seed 0": cause,
        "clr, seed 0": cause,
    }


@pytest.mark.usefixtures("quick_report")
def test_several_jobs_give_the_bytes_of_one(place: Any, exact: Callable, states: Callable):
    for jobs in (2, 1):
        # One for each of the workers.
        torch.set_num_threads(jobs)
        assert main(["run", *place.options, "er,clr,mortal", "--jobs", str(jobs), "--name", f"jobs-{jobs}"]) == 0
    assert exact(place.path / "jobs-2") == exact(place.path / "jobs-1")
    assert states(place.path / "jobs-2") == states(place.path / "jobs-1")


@pytest.mark.usefixtures("quick_report")
def test_several_jobs_share_what_is_the_same_in_every_order(place: Any, exact: Callable, states: Callable):
    for jobs in (2, 1):
        torch.set_num_threads(jobs)
        command = ["run", *place.options, "clr,sgd", "--orders", "2", "--jobs", str(jobs), "--name", f"jobs-{jobs}"]
        assert main(command) == 0
    assert exact(place.path / "jobs-2") == exact(place.path / "jobs-1")
    assert states(place.path / "jobs-2") == states(place.path / "jobs-1")


@pytest.mark.usefixtures("quick_report")
def test_what_keeps_something_is_learned_in_sequence(
    place: Any, exact: Callable, states: Callable, capsys: pytest.CaptureFixture[str]
):
    """By default, two workers would learn a task each."""
    for jobs in (2, 1):
        torch.set_num_threads(jobs)
        command = ["run", *place.options, "keeper", "--seeds", "2", "--jobs", str(jobs), "--name", f"jobs-{jobs}"]
        assert main(command) == 0
        told = capsys.readouterr().err
        assert told.count("keeper says that it isolates its tasks, but keeps something for the next one") == jobs - 1
        assert "failed" not in told
    assert exact(place.path / "jobs-2") == exact(place.path / "jobs-1")
    assert states(place.path / "jobs-2") == states(place.path / "jobs-1")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_the_run(place: Any, sent: signal.Signals, without_tasks: Callable[[str], str]):
    """Ctrl-C, which reaches all processes of a terminal; and a death of the first process that nobody can prepare."""
    place.tell("wait")
    arguments = ["run", *place.options, "endless,sgd", "--jobs", "2", "--name", "run"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmark", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    while not (place.path / "run" / "cells" / "endless" / "seed-0" / "alone-1.json").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    if sent == signal.SIGINT:
        os.killpg(process.pid, sent)
    else:
        process.send_signal(sent)
    # All processes share these pipes, so that they end when the last of the processes is gone.
    out, err = process.communicate()
    assert out == ""
    if sent == signal.SIGINT:
        assert process.returncode == 130
        command = f"python -m benchmark {shlex.join(arguments)}"
        assert without_tasks(err) == f"\ninterrupted; finished tasks are kept. Go on with: {command}\n"
    else:
        assert without_tasks(err) == ""


@pytest.mark.parametrize(
    ("visible", "names"), [("", ["0", "1"]), ("3,5", ["3", "5"]), ("GPU-a,GPU-b", ["GPU-a", "GPU-b"])]
)
def test_gpus_are_counted_among_those_that_are_visible(monkeypatch: pytest.MonkeyPatch, visible: str, names: list[str]):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [_visible(0), _visible(1)] == names
