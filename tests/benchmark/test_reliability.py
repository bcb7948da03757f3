"""Whatever goes wrong is one sentence and costs no finished work, and a run that goes on equals an undisturbed one."""

from __future__ import annotations

import errno
import json
import os
import pickle
import random
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
import safetensors.torch
import torch
from PIL import Image

from benchmark.cli.main import main
from benchmark.storage.lock import locked
from benchmark.storage.records import read_record, write_record
from benchmark.storage.state import part_path
from benchmark.workers import warm_up
from methods import methods

ROOT = Path(__file__).parents[2]
#: What each of them keeps: per-task parts; shared weights and stored samples; shared weights, importances and anchors.
METHODS = ("clr", "er", "si")
OPTIONS = ("--tasks", "2", "--train-images", "20", "--test-images", "10", "--image-size", "16", "--epochs", "1")


@pytest.fixture(autouse=True)
def _quick(quick_report: None, one_thread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    # Before each task, for its peak memory: it would take longer than all that is learned.
    monkeypatch.setattr("benchmark.learning.memory.gc.collect", lambda: 0)


def arguments(folder: Path, *options: str, methods: str = ",".join(METHODS)) -> list[str]:
    """A command that makes, or goes on with, the run in `folder`."""
    place = ("--out", str(folder.parent), "--name", folder.name)
    return ["run", "--methods", methods, *OPTIONS, *place, "--jobs", "1", *options]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing befell."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patched:
        for name in ("draw_figures", "write_page"):
            patched.setattr(f"benchmark.report.write.{name}", lambda *arguments, **options: None)
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        assert main(arguments(folder)) == 0
        torch.set_num_threads(before)
    return folder


@pytest.fixture
def equal_whole(whole: Path, exact: Callable, states: Callable) -> Callable[[Path], None]:
    """equal_whole(folder): the run there has the tables and states of `whole`, and nothing else."""

    def check(folder: Path) -> None:
        assert exact(folder) == exact(whole)
        assert states(folder) == states(whole)
        assert {path.name for path in folder.iterdir()} == {path.name for path in whole.iterdir()}

    return check


# Files that are damaged


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def header(path: Path) -> None:
    """A safetensors file that promises a header of a terabyte."""
    path.write_bytes((2**40).to_bytes(8, "little") + b"{}")


def rename(path: Path) -> None:
    """Tensors of other names and shapes."""
    safetensors.torch.save_file({"heads.1.weight": torch.zeros(1, 1)}, path)


class Malicious:
    """Creates a file when it is unpickled without care."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def hostile(path: Path) -> None:
    path.write_bytes(pickle.dumps(Malicious(path.with_name("was run"))))


@pytest.mark.parametrize(
    ("method", "file", "damage", "left"),
    [
        # Of er and si, only the newest shared part and memory are kept.
        ("er", "shared-2.safetensors", flip, "the start"),
        ("er", "memory-2.safetensors", cut, "the start"),
        ("si", "after-2.json", empty, "the start"),
        ("si", "task-2.safetensors", Path.unlink, "the start"),
        ("clr", "task-2.safetensors", empty, "the state after task 1"),
        ("clr", "after-2.json", flip, "the state after task 1"),
        ("clr", "after-1.json", cut, "the start"),
        ("clr", "task-1.safetensors", hostile, "the start"),
        ("clr", "task-2.safetensors", header, "the state after task 1"),
        ("clr", "task-2.safetensors", rename, "the state after task 1"),
    ],
)
def test_a_damaged_file_is_told_and_what_it_held_is_learned_again(
    whole: Path,
    tmp_path: Path,
    equal_whole: Callable,
    capsys: pytest.CaptureFixture[str],
    method: str,
    file: str,
    damage: Callable[[Path], None],
    left: str,
    without_tasks: Callable[[str], str],
):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    path = folder / "cells" / method / "seed-0" / file
    damage(path)
    assert main(arguments(folder)) == 0
    says = f"{path.relative_to(folder)} is damaged or missing, so that it goes on from {left}"
    assert without_tasks(capsys.readouterr().err) == f"warning: {method}, seed 0: {says}\n"
    cells = json.loads((folder / "manifest.json").read_bytes())["cells"]
    assert [cell.get("damage") for cell in cells] == [says if cell["method"] == method else None for cell in cells]
    equal_whole(folder)
    assert not path.with_name("was run").exists()


def test_of_a_run_that_keeps_its_states_only_the_damaged_one_is_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    command = arguments(tmp_path / "run", "--keep-states", methods="si")
    assert main(command) == 0
    path = tmp_path / "run" / "cells" / "si" / "seed-0" / "shared-2.safetensors"
    content = path.read_bytes()
    flip(path)
    assert main(command) == 0
    assert "so that it goes on from the state after task 1\n" in capsys.readouterr().err
    assert path.read_bytes() == content


def test_a_state_that_somebody_forged_with_its_checksums_is_not_executed(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    cell = folder / "cells" / "clr" / "seed-0"
    (cell / "after-2.json").unlink()
    path = part_path(cell, "task-1")
    hostile(path)
    record = read_record(cell / "after-1.json")
    assert record is not None
    digest = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]
    write_record(cell / "after-1.json", record | {"checksums": {"task-1": digest}})
    assert main(arguments(folder)) == 1
    assert f"clr, seed 0 failed: {path} holds no tensors (SafetensorError: " in capsys.readouterr().err
    assert not path.with_name("was run").exists()
    Malicious(path.with_name("was run")).__reduce__()[0](path.with_name("was run"))
    assert path.with_name("was run").exists(), "it would have been seen"


@pytest.mark.parametrize("damage", [empty, cut])
def test_a_damaged_manifest_is_refused(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None]
):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    damage(folder / "manifest.json")
    assert main(arguments(folder)) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {folder / 'manifest.json'} is damaged: ")
    assert err.endswith("; put a copy of it back, or begin a run of another name\n")


def test_tables_of_no_bytes_are_made_again(whole: Path, tmp_path: Path, equal_whole: Callable):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    for table in folder.glob("*.csv"):
        empty(table)
    assert main(["report", str(folder)]) == 0
    equal_whole(folder)


# Folders that cannot be written


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True)
    if made.returncode:
        pytest.skip("only who may mount a file system can have a small one")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_stops_the_run_and_more_room_lets_it_go_on(
    small_disk: Path, equal_whole: Callable, capsys: pytest.CaptureFixture[str], without_tasks: Callable[[str], str]
):
    folder = small_disk / "run"
    assert main(arguments(folder)) == 2
    err = without_tasks(capsys.readouterr().err)
    assert err.startswith(f"error: {folder}")
    assert " cannot be written (No space left on device); make room or give access there; finished tasks are kept" in (
        err
    )
    assert err.count("\n") == 1
    records = list(folder.rglob("after-*.json"))
    times = {path: path.stat().st_mtime_ns for path in records}
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    assert main(arguments(folder)) == 0
    equal_whole(folder)
    assert records
    assert {path: path.stat().st_mtime_ns for path in records} == times, "what was learned is not learned again"


def test_whichever_file_the_disk_has_no_room_for(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    states: Callable,
    exact: Callable,
    without_tasks: Callable[[str], str],
):
    """Every fifth write of a run, and all behind it, find the disk full."""

    def attempt(folder: Path, room: int) -> int:
        """The exit status of a run with room for so many writes."""
        left = iter(range(room))

        def flush(descriptor: int) -> None:
            if next(left, None) is None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(os, "fsync", flush)
            return main(arguments(folder, methods="er"))

    assert attempt(tmp_path / "whole", 1000) == 0
    capsys.readouterr()
    room, status = 0, 2
    while status:
        folder = tmp_path / str(room)
        status = attempt(folder, room)
        err = without_tasks(capsys.readouterr().err)
        if status:
            assert err.startswith("error: ")
            assert "(No space left on device)" in err
            assert err.count("\n") == 1
        assert attempt(folder, 1000) == 0
        assert states(folder) == states(tmp_path / "whole")
        assert exact(folder) == exact(tmp_path / "whole")
        room += 5
    assert room > 15


def test_a_folder_that_cannot_be_made_is_refused_before_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").touch()
    assert main(arguments(tmp_path / "file" / "run")) == 2
    assert capsys.readouterr().err == f"error: --out: {tmp_path / 'file' / 'run'} cannot be made: Not a directory\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder_is_refused_before_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "run"
    folder.mkdir(mode=0o500)
    assert main(arguments(folder)) == 2
    says = "cannot be written to or locked (Permission denied); choose another folder with --out DIR"
    assert capsys.readouterr().err == f"error: --out: {folder} {says}\n"


def test_a_read_only_disk_is_refused_before_training(small_disk: Path, capsys: pytest.CaptureFixture[str]):
    folder = small_disk / "run"
    folder.mkdir()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert main(arguments(folder)) == 2
    says = "cannot be written to or locked (Read-only file system); choose another folder with --out DIR"
    assert capsys.readouterr().err == f"error: --out: {folder} {says}\n"


# Input that cannot be used


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of two tasks."""
    for task in ("a", "b"):
        for name, value in (("dark", 40), ("light", 200)):
            folder = tmp_path / "pictures" / task / name
            folder.mkdir(parents=True)
            for number in range(6):
                Image.new("RGB", (16, 16), (value, 10 * number, 0)).save(folder / f"{number}.jpg")
    return tmp_path / "pictures"


@pytest.mark.parametrize("content", [b"", b"no picture", None], ids=["0 bytes", "text", "truncated"])
def test_a_broken_picture_is_named_before_training(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
):
    broken = pictures / "b" / "light" / "3.jpg"
    broken.write_bytes(broken.read_bytes()[:-200] if content is None else content)
    assert main(arguments(tmp_path / "run", "--stream", f"folder:{pictures}", "--image-size", "16")) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {broken} ")
    assert err.endswith("; replace or remove it\n")
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2))]
)
def test_a_hostile_file_of_weights_is_refused_and_not_executed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], save: Callable
):
    weights, marker = tmp_path / "weights.pth", tmp_path / "was run"
    save({"conv.weight": Malicious(marker)}, weights)
    assert main(arguments(tmp_path / "run", "--backbone", f"mini:weights={weights}")) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: --backbone: {weights} cannot be read as a file of weights: ")
    assert err.count("\n") == 1
    assert not marker.exists()
    assert not (tmp_path / "run").exists()


# Losses that are no numbers


def test_a_method_that_diverges_is_marked_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], without_tasks: Callable[[str], str]
):
    folder = tmp_path / "run"
    assert main(arguments(folder, "--epochs", "2", methods="sgd:lr=1e30,clr")) == 1
    manifest = json.loads((folder / "manifest.json").read_bytes())
    diverged, succeeded = manifest["cells"]
    assert (manifest["status"], diverged["status"], succeeded["status"]) == ("failed", "diverged", "succeeded")
    # An epoch is one step; the first is made with the weights that were given.
    assert diverged["cause"] == "the training loss is nan in step 1 of epoch 2 of task 1; a smaller --lr may help"
    said = without_tasks(capsys.readouterr().err).splitlines()
    assert said == [
        f"sgd:lr=1e30, seed 0 failed: {diverged['cause']}",
        f"Why a method failed, with its traceback, is in {folder / 'run.log'}",
    ]
    assert pd.read_csv(folder / "summary.csv")["status"].tolist() == ["diverged", "succeeded"]


# Two at once, and interruptions


def test_the_second_process_on_a_run_refuses(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with locked(folder):
        assert main(arguments(folder)) == 2
        assert capsys.readouterr().err == (
            f"error: --name run: process {os.getpid()} on {socket.gethostname()} is working on that run; wait until it "
            "ends, or give another --name\n"
        )
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert main(arguments(folder)) == 0


IMPATIENT = '''
import multiprocessing, os, signal, time
from pathlib import Path

from baselines.shared.finetuning import FineTuning
from methods import methods

ORDER = Path(__file__).with_name("stop")


@methods.register("impatient")
class Impatient(FineTuning):
    """Presses Ctrl-C in the middle of task 2 while a file lies there, which it removes before."""

    def after_training_epoch(self, strategy, **kwargs):
        if self.task == 2 and ORDER.exists():
            ORDER.unlink()
            first = multiprocessing.parent_process()
            os.kill(first.pid if first else os.getpid(), signal.SIGINT)
            while first:
                time.sleep(0.01)
'''


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_command_that_is_printed_on_ctrl_c_goes_on_with_a_run_that_was_given_no_name(
    tmp_path: Path,
    jobs: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    states: Callable,
    without_tasks: Callable[[str], str],
):
    warm_up()
    monkeypatch.setattr(methods, "_entries", dict(methods._entries))
    plugin = tmp_path / "my plugin.py"
    plugin.write_text(IMPATIENT)
    (tmp_path / "stop").touch()
    chosen = ["run", "--methods", "impatient,clr", *OPTIONS, "--plugin", str(plugin), "--jobs", str(jobs)]
    assert main([*chosen, "--out", str(tmp_path / "interrupted")]) == 130
    err = without_tasks(capsys.readouterr().err)
    assert err.startswith("\ninterrupted; finished tasks are kept. Go on with: python -m benchmark run ")
    assert not (tmp_path / "stop").exists()

    again = shlex.split(err.partition("Go on with: ")[2])
    assert again[:3] == ["python", "-m", "benchmark"]
    assert main(again[3:]) == 0
    assert main([*chosen, "--out", str(tmp_path / "straight"), "--name", "run"]) == 0
    (run,) = (tmp_path / "interrupted").iterdir()
    assert states(run) == states(tmp_path / "straight" / "run")


def test_ctrl_c_while_a_state_is_written_lets_it_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, equal_whole: Callable
):
    folder = tmp_path / "run"
    cell = folder / "cells" / "er" / "seed-0"
    flush = os.fsync

    def press(descriptor: int) -> None:
        if cell.is_dir() and not list(cell.glob("*.json")):
            os.kill(os.getpid(), signal.SIGINT)
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", press)
    assert main(arguments(folder)) == 130
    assert "interrupted; finished tasks are kept. Go on with: " in capsys.readouterr().err
    assert (cell / "after-1.json").exists()
    assert main(arguments(folder)) == 0
    equal_whole(folder)


def test_ctrl_c_before_anything_is_imported_is_no_traceback():
    """As early as Python has begun to read this project."""
    code = "import sys; sys.path.insert(0, '.'); import signal; from importlib import abc\n"
    code += "class Press(abc.MetaPathFinder):\n"
    code += "    def find_spec(self, name, path, target=None):\n"
    code += "        if name == 'benchmark.cli.main': signal.raise_signal(signal.SIGINT)\n"
    code += "sys.meta_path.insert(0, Press())\n"
    code += "import runpy; sys.argv[1:] = ['methods']; runpy.run_module('benchmark', run_name='__main__')\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


ZYGOTE = '''
import json, multiprocessing, os, sys
from contextlib import suppress

from benchmark import workers as server
server.context = lambda: multiprocessing.get_context("fork")

import numpy as np
from torch import nn

import benchmark.planning.preparation
import benchmark.progress.terminal
import benchmark.running.runner
import benchmark.learning.memory
import benchmark.running.executors.processes
import benchmark.report.write
from benchmark.backbones import backbones
from benchmark.backbones.base import Backbone
from benchmark.cli.main import main
from benchmark.streams import streams
from benchmark.images.source import ArrayImages
from benchmark.streams.source import RawTask, StreamSource

# What would take longer than all that is learned.
for name in ("draw_figures", "draw_critical_difference", "write_page"):
    setattr(benchmark.report.write, name, lambda *arguments, **options: None)
benchmark.learning.memory.gc.collect = lambda: 0


@streams.register("noise")
class Noise(StreamSource):
    """two tasks of noise"""

    default_image_size = 8

    def raw_tasks(self, limit):
        numbers = np.random.default_rng(0)

        def images(count):
            return ArrayImages(numbers.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8), [0, 1] * (count // 2))

        return [RawTask(name, ("x", "y"), images(20), images(10)) for name in ("one", "two")][:limit]


@backbones.register("small")
class Small(Backbone):
    """one convolution"""

    mean = std = (0.5, 0.5, 0.5)

    def modules(self):
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def load(self, modules):
        pass


print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(main(json.loads(line)))
    with suppress(OSError):
        os.setpgid(child, child)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
'''


class Zygote:
    """Runs commands in processes that are forked from one that has imported everything, and computes nothing."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", ZYGOTE], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._hear() == "ready"

    def _hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def run(self, arguments: list[str], seconds: float | None = None) -> int:
        """The exit status of a command, whose processes are all killed after some seconds if it still goes on."""
        assert self.process.stdin is not None
        print(json.dumps(arguments), file=self.process.stdin, flush=True)
        child = int(self._hear())
        if seconds is not None:
            time.sleep(seconds)
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        return int(self._hear())


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    started = Zygote()
    yield started
    started.process.communicate()


def test_sixty_kills(tmp_path: Path, zygote: Zygote, exact: Callable, states: Callable):
    """At moments that are spread over a whole run; each time the run goes on and ends up the same."""

    def command(name: str, jobs: int = 1) -> list[str]:
        return [
            *("run", "--stream", "noise", "--backbone", "small", "--methods", "clr,er,ewc", "--epochs", "2"),
            *("--jobs", str(jobs), "--out", str(tmp_path), "--name", name),
        ]

    def content(name: str) -> tuple:
        folder = tmp_path / name
        return exact(folder), states(folder), {path.name for path in folder.iterdir()}

    # The second one finds the images decoded, as do those that are killed.
    assert zygote.run(command("first")) == 0
    began = time.perf_counter()
    assert zygote.run(command("whole")) == 0
    lasts = time.perf_counter() - began
    whole = content("whole")
    assert content("first") == whole

    moments = random.Random(0)
    learned = []
    while len(learned) < 60:
        name, jobs = f"killed-{len(learned)}", 2 if len(learned) % 4 == 3 else 1
        end = zygote.run(command(name, jobs), seconds=moments.uniform(0, lasts))
        if end == 0:
            # It was faster than the first ones, and does not count.
            lasts *= 0.95
            shutil.rmtree(tmp_path / name)
            continue
        assert end == -signal.SIGKILL
        learned.append(len(list((tmp_path / name).rglob("after-*.json"))))
        assert zygote.run(command(name, jobs)) == 0
        assert content(name) == whole
    assert len(set(learned)) > 2, "the kills hit different tasks"
