"""Jobs that submitit submits: the same files as without it, whatever happens to one, and none is left behind."""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli.main import main
from benchmark.config import Settings, Slurm
from benchmark.progress.events import (
    CellBegan,
    EpochDone,
    Event,
    Failure,
    JobEnded,
    Placed,
    TaskBegan,
    Warned,
    tell_all,
)
from benchmark.running.executors.cells import Job
from benchmark.running.executors.plan import Plan
from benchmark.storage.submitted import read_submitted

slurm = pytest.importorskip("benchmark.running.executors.slurm", reason="submitit is not installed")

_SPEC = importlib.util.spec_from_file_location("pretended_slurm", Path(__file__).with_name("pretended_slurm.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
pretended_slurm = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(pretended_slurm)


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a Slurm that is made up; it has the scripts that were submitted."""
    folder = tmp_path / "queue"
    folder.mkdir()
    pretended_slurm.install(folder)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "_LAG", 0)
    monkeypatch.setitem(slurm._WAITS, "slurm", 0.2)
    # It asks after 2 seconds at the earliest.
    monkeypatch.setattr(slurm.submitit.SlurmJob.watcher, "_delay_s", 1)
    slurm.submitit.SlurmJob.watcher.clear()
    slurm.submitit.SlurmJob.watcher._registered.clear()
    return folder


def runs(place: Any, exact: Callable, states: Callable, name: str, labels: str, *options: str) -> tuple[Any, Any]:
    """The tables and the states of a run that succeeds."""
    assert main(["run", *place.options, labels, "--seconds", "--name", name, *options]) == 0
    return exact(place.path / name), states(place.path / name)


@pytest.mark.usefixtures("quick_report")
def test_the_bytes_are_those_of_one_process_even_if_a_job_is_killed_or_moved(
    place: Any,
    exact: Callable,
    states: Callable,
    capfd: pytest.CaptureFixture[str],
    without_tasks: Callable[[str], str],
):
    # A job must not take it for this program's package.
    (place.path / "methods.py").write_text("raise RuntimeError('the file of the user ran')\n")
    expected = runs(place, exact, states, "alone", "mortal,displaced", "--jobs", "1")
    printed = capfd.readouterr()
    place.tell("die")
    place.tell("move")
    found = runs(place, exact, states, "jobs", "mortal,displaced", "--executor", "slurm:cluster=local", "--jobs", "2")
    assert not {"die", "move"} & {path.name for path in place.path.iterdir()}
    assert found == expected
    again = capfd.readouterr()
    assert again.out.replace("jobs", "alone") == printed.out
    assert without_tasks(again.err) == ""
    run = place.path / "jobs"
    # One for each cell, and one after the death; what is moved goes on as the same job.
    logs = sorted(run.glob("slurm/*_0_log.out"))
    assert len(logs) == 3
    assert sorted(log.read_text().count("Starting with JobEnvironment") for log in logs) == [1, 1, 2]
    assert read_submitted(run, "local") == []
    assert not list(run.glob("slurm/*.jsonl"))
    manifest = json.loads((run / "manifest.json").read_bytes())
    (process,) = manifest["processes"]
    assert (process["device"], process["workers"], process["hardware"]["threads"]) == ("cpu", 2, 1)
    assert process["hardware"] == manifest["hardware"]


@pytest.mark.usefixtures("quick_report")
def test_a_job_that_dies_again_and_again_is_a_failed_cell_and_the_run_goes_on_later(
    place: Any, queue: Path, exact: Callable, states: Callable, capfd: pytest.CaptureFixture[str]
):
    expected = runs(place, exact, states, "alone", "doomed", "--jobs", "1")
    place.tell("die")
    options = "slurm:partition=gpu:timeout_min=7:cpus_per_task=1:mem_gb=2:array_parallelism=5:account=lab"
    command = ["run", *place.options, "doomed", "--seconds", "--name", "run", "--executor", options]
    capfd.readouterr()
    assert main(command) == 1
    scripts = [path.read_text() for path in sorted(queue.glob("script-*"))]
    # The one that died is submitted once more.
    assert len(scripts) == 2
    for line in ("--partition=gpu", "--time=7", "--cpus-per-task=1", "--mem=2GB", "--account=lab", "--job-name=run"):
        assert all(f"#SBATCH {line}\n" in script for script in scripts)
    assert "gpus" not in scripts[0]
    assert " --cpus-per-task=1 " in scripts[0].splitlines()[-1]
    (cell,) = json.loads((place.path / "run/manifest.json").read_bytes())["cells"]
    assert cell["cause"].startswith(
        "job 2, which learned doomed, ended before its work was done (OUT_OF_MEMORY), twice; its log is "
        f"{place.path / 'run' / 'slurm' / '2_0_log.err'}"
    )
    (place.path / "die").unlink()
    assert main(command) == 0
    assert len(list(queue.glob("script-*"))) == 3
    assert (exact(place.path / "run"), states(place.path / "run")) == expected


@pytest.fixture
def endless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str | None]]:
    """endless(jobs, listener, cluster="local") -> how jobs end; the process of each is there, but does not learn.

    "er" ends as soon as the file "go" is there.
    """
    monkeypatch.setattr(slurm, "_Call", lambda plan, job, news: pretended_slurm.Waiting(news, job.name))
    (tmp_path / "run").mkdir()
    plan = Plan(Settings(methods=("er",)), (), tmp_path, tmp_path / "run", [[1]], keep_states=False, verify=False)

    def do(jobs: list[str], listener: Callable[[Event], None], **options: Any) -> dict[str, str | None]:
        events: list[Event] = []
        executor = slurm.SlurmExecutor(plan, Slurm(**options), len(jobs), len(jobs))
        executor.run(deque(Job(name, (name, 0, 0)) for name in jobs), tell_all(events.append, listener))
        return {event.job: event.failure and event.failure.cause for event in events if isinstance(event, JobEnded)}

    return do


class Killed(BaseException):
    pass


class Until:
    """Hears of some tasks, and is killed after the last."""

    def __init__(self, tasks: int):
        self.left = tasks
        self.last: Event | None = None

    def __call__(self, event: Event) -> None:
        self.last = event
        self.left -= isinstance(event, TaskBegan)
        if isinstance(event, TaskBegan) and not self.left:
            raise Killed


def test_jobs_of_a_process_that_was_killed_are_waited_for(
    endless: Callable, queue: Path, tmp_path: Path, make_listener: Callable, monkeypatch: pytest.MonkeyPatch
):
    run, jobs = tmp_path / "run", ["er", "sgd"]
    with monkeypatch.context() as patched:
        # A killed process cancels nothing.
        patched.setattr(slurm._Worker, "stop", lambda worker: None)
        patched.setattr(slurm._Worker, "bury", lambda worker: None)
        with pytest.raises(Killed):
            endless(jobs, Until(2))
    assert {(left.id, left.name) for left in read_submitted(run, "slurm")} == {("1_0", "er"), ("1_1", "sgd")}
    assert read_submitted(run, "local") == []
    # One of the jobs dies meanwhile, so that it is submitted again.
    (tmp_path / "run" / "go").touch()
    pretended_slurm.scancel(queue, "1_1")
    heard = make_listener()
    assert endless(jobs, heard) == {"er": None, "sgd": None}
    assert sorted(heard.tasks) == [("er", 1), ("sgd", 1), ("sgd", 1)]
    assert "#SBATCH --array=0-1%2\n" in (queue / "script-1").read_text()
    assert "#SBATCH --array" not in (queue / "script-2").read_text()
    assert len(list(queue.glob("script-*"))) == 2
    assert read_submitted(run, "slurm") == []


@pytest.mark.parametrize("cluster", ["local", "slurm"])
def test_an_interruption_cancels_the_jobs(endless: Callable, queue: Path, tmp_path: Path, cluster: str):
    until = Until(2)
    with pytest.raises(Killed):
        endless(["er", "sgd"], until, cluster=cluster)
    assert until.last == Warned("2 submitted jobs had not ended, and were cancelled")
    assert read_submitted(tmp_path / "run", cluster) == []
    pids = [int(path.name) for path in tmp_path.glob("run/pid/*")]
    assert len(pids) == 2
    assert all(map(has_ended, pids))


def has_ended(pid: int) -> bool:
    """Whether a process ends within half a minute."""
    for _ in range(300):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        stat = Path(f"/proc/{pid}/stat")
        # Nobody may have waited for it.
        if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False


def test_a_job_waits_for_another_that_still_works_on_its_cell(place: Any, tmp_path: Path):
    plan = place.plan("run", "sgd")
    call = slurm._Call(plan, Job("sgd, seed 0", ("sgd", 0, 0)), plan.folder / "news.jsonl")
    other = slurm._Call(plan, call.job, plan.folder / "others.jsonl")
    with pytest.MonkeyPatch.context() as patched:
        waiting = []

        def acquire(lock: Any, poll_interval: float) -> Any:
            waiting.append(Path(lock.lock_file))
            raise TimeoutError

        patched.setattr(slurm.FileLock, "acquire", acquire)
        for each in (call, other):
            with pytest.raises(TimeoutError):
                each()
    assert len(set(waiting)) == 1
    assert waiting[0].parent == plan.folder


@pytest.mark.usefixtures("quick_report")
def test_other_executors_do_not_work_beside_the_jobs(place: Any, capfd: pytest.CaptureFixture[str]):
    run = place.path / "run"
    command = ["run", *place.options, "sgd", "--name", "run"]
    assert main([*command, "--jobs", "1"]) == 0
    (run / "slurm").mkdir()
    record = {"folder": str(run), "cluster": "slurm", "jobs": [{"id": "7_1", "name": "sgd, seed 0", "news": "x"}]}
    path = run / "slurm" / "submitted.json"
    path.write_text(json.dumps(record))
    capfd.readouterr()
    assert main([*command, "--jobs", "1"]) == 2
    assert capfd.readouterr().err == (
        "error: --name run: Slurm's jobs 7_1 may still work on that run; give --executor slurm to go on with them, or "
        f"cancel them (scancel 7_1) and delete {Path('run') / 'slurm' / 'submitted.json'}\n"
    )
    # Elsewhere they do not matter, and neither does what is no such file.
    for content in (json.dumps(record | {"folder": "/elsewhere"}), json.dumps({**record, "jobs": [1]}), "{", "[]"):
        path.write_text(content)
        assert main([*command, "--jobs", "1"]) == 0


def test_what_sbatch_refuses_is_said_in_one_sentence(place: Any, queue: Path, capfd: pytest.CaptureFixture[str]):
    command = ["run", *place.options, "sgd", "--name", "run", "--executor", "slurm:partition=closed"]
    assert main(command) == 2
    assert capfd.readouterr().err.splitlines()[-1] == (
        "error: --executor slurm: the jobs cannot be submitted (FailedJobError: sbatch: error: invalid partition "
        "specified: closed); give it other options, or ask those who run the cluster"
    )


@pytest.mark.usefixtures("quick_report")
def test_a_run_in_this_process(place: Any, exact: Callable, states: Callable):
    expected = runs(place, exact, states, "alone", "sgd,clr", "--jobs", "1")
    assert runs(place, exact, states, "debug", "sgd,clr", "--executor", "slurm:cluster=debug") == expected


def test_events_travel_as_text(tmp_path: Path):
    call = slurm._Call(None, Job("er, seed 0", ("er", 0, 0)), tmp_path / "news")
    events = [
        Placed({"hardware": {"gpus": ["H200"]}}),
        CellBegan("er, seed 0", 3, 1, 2),
        TaskBegan("er, seed 0", 2, "Büro\n1"),
        EpochDone("er, seed 0"),
        JobEnded("er, seed 0", Failure("full", "Traceback\n...", memory=True)),
        JobEnded("er, seed 0", None),
    ]
    worker = slurm._Worker(0, False, None)
    worker.begin(None, call.news)
    assert list(worker.news()) == []
    call._tell(events[0])
    # A process that was killed leaves half a line; another has not written all of its own yet.
    with call.news.open("a") as file:
        file.write('["TaskBegan", {"cell')
    for event in events[1:]:
        call._tell(event)
    with call.news.open("a") as file:
        file.write('["EpochDone", {"cell": "er, seed 0"')
    assert list(worker.news()) == events
    assert list(worker.news()) == []
    with call.news.open("a") as file:
        file.write("}]\n")
    assert list(worker.news()) == [EpochDone("er, seed 0")]


def test_a_lost_end_is_waited_for_where_files_come_late(monkeypatch: pytest.MonkeyPatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    worker = slurm._Worker(0, False, None)
    assert worker.is_silent(0)
    worker.begin(None, Path("news"))
    assert not worker.is_silent(30)
    now[0] = 129.9
    assert not worker.is_silent(30)
    now[0] = 130.0
    assert worker.is_silent(30)


def test_a_full_gpu_is_not_tried_again():
    """A job has had the whole GPU already."""
    full = JobEnded("er", Failure("full", memory=True))
    assert slurm._alone(full) == JobEnded("er", Failure("full"))
    assert slurm._alone(JobEnded("er", None)) == JobEnded("er", None)
