"""A run whose process is killed in the middle of a task goes on there, with the bytes of a run that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from benchmark.cli.main import main
from benchmark.storage.checkpoint import checkpoint_path
from benchmark.storage.provenance import commit
from methods import methods

ROOT = Path(__file__).parents[3]

PLUGIN = '''
import os, signal
from pathlib import Path

from baselines.er import ER
from methods import methods

HERE = Path(__file__).parent


@methods.register("mortal")
class Mortal(ER):
    """Experience replay that counts its steps in a file, and ends while another file says after how many."""

    def __init__(self):
        super().__init__(fill="during")
        self.sum = 0.0

    def after_training_iteration(self, step):
        self.sum += float(step.loss.detach())
        with (HERE / "steps").open("a") as file:
            file.write(f"{self.task} {step.epoch} {step.steps_done}\\n")
        for order in (HERE / "die", HERE / "fail"):
            if order.exists() and len((HERE / "steps").read_text().splitlines()) == int(order.read_text()):
                order.unlink()
                if order.name == "fail":
                    raise RuntimeError("no more")
                os.kill(os.getpid(), signal.SIGKILL)

    def after_training_exp(self, step):
        super().after_training_exp(step)
        import torch
        self.kept["sum"] = torch.tensor(self.sum, dtype=torch.float64)
'''

#: 18 training images and 2 for validation in batches of 5: 4 steps of each of 3 epochs of each of 2 tasks and seeds.
OPTIONS = (
    *("--tasks", "2", "--train-images", "20", "--test-images", "10", "--image-size", "16"),
    *("--epochs", "3", "--batch-size", "5", "--seeds", "2"),
)


@pytest.fixture(autouse=True)
def _quick(quick_report: None, one_thread: None) -> None:
    """No figures, and as many threads as the subprocess."""


def arguments_of(folder: Path, plugin: Path, *options: str) -> list[str]:
    """The command of a run in a folder."""
    place = ("--out", str(folder.parent), "--name", folder.name, "--plugin", str(plugin))
    return ["run", "--methods", "mortal", *OPTIONS, *place, *options]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing befell."""
    folder = tmp_path_factory.mktemp("runs")
    plugin = folder / "mortal.py"
    plugin.write_text(PLUGIN)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(methods, "_entries", dict(methods._entries))
        for name in ("draw_figures", "draw_oracle_gap", "write_page"):
            patched.setattr(f"benchmark.report.write.{name}", lambda *arguments, **options: None)
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        assert main(arguments_of(folder / "whole", plugin, "--jobs", "1")) == 0
        torch.set_num_threads(before)
    return folder / "whole"


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(methods, "_entries", dict(methods._entries))
    path = tmp_path / "mortal.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture
def command(tmp_path: Path, plugin: Path) -> Callable[..., list[str]]:
    """command("name", options) -> the arguments of a run."""
    return lambda name, *options: arguments_of(tmp_path / name, plugin, *options)


def steps(plugin: Path) -> Iterator[tuple[int, ...]]:
    """(task, epoch, step) of all steps that were ever made."""
    for line in plugin.with_name("steps").read_text().splitlines():
        yield tuple(map(int, line.split()))


def test_a_killed_process(
    whole: Path,
    command: Callable[..., list[str]],
    plugin: Path,
    tmp_path: Path,
    exact: Callable,
    states: Callable,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # The 18th step is the second of the second epoch of the second task of the first seed.
    plugin.with_name("die").write_text("18")
    arguments = command("killed", "--jobs", "1", "--checkpoint-minutes", "0")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, "-m", "benchmark", *arguments], cwd=tmp_path, env=environment, capture_output=True
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    cell = tmp_path / "killed/cells/mortal/seed-0"
    assert checkpoint_path(cell, 2).exists()
    # The option is needed to store checkpoints, not to go on from one.
    assert main(command("killed", "--jobs", "1")) == 0
    assert "mortal, seed 0: task 2 goes on from its checkpoint, in epoch 2" in capsys.readouterr().err
    assert exact(tmp_path / "killed") == exact(whole)
    assert states(tmp_path / "killed") == states(whole), "no checkpoint is left either"
    # The step in which the process was killed is the only one that was not stored.
    assert len(list(steps(plugin))) == 48 + 1


def test_a_killed_worker_goes_on_in_the_same_run(
    whole: Path, command: Callable[..., list[str]], plugin: Path, tmp_path: Path, exact: Callable, states: Callable
) -> None:
    plugin.with_name("die").write_text("30")
    assert main(command("killed", "--jobs", "2", "--checkpoint-minutes", "0")) == 0
    assert not plugin.with_name("die").exists()
    assert exact(tmp_path / "killed") == exact(whole)
    assert states(tmp_path / "killed") == states(whole)
    assert len(list(steps(plugin))) == 48 + 1


@pytest.mark.parametrize(("damage", "cause"), [("torn", "it is damaged"), ("older", "version of torch is another one")])
def test_a_checkpoint_that_cannot_be_used_costs_the_task_only(
    damage: str,
    cause: str,
    whole: Path,
    command: Callable[..., list[str]],
    plugin: Path,
    tmp_path: Path,
    exact: Callable,
    states: Callable,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plugin.with_name("fail").write_text("18")
    assert main(command("run", "--jobs", "1", "--checkpoint-minutes", "0")) != 0
    path = checkpoint_path(tmp_path / "run/cells/mortal/seed-0", 2)
    if damage == "torn":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        made = {"commit": commit(ROOT), "versions": {"torch": "0.1"}}
        monkeypatch.setattr("benchmark.running.executors.cell_learner.provenance", lambda *arguments: made)
    capsys.readouterr()
    assert main(command("run", "--jobs", "1")) == 0
    said = capsys.readouterr().err
    assert "mortal, seed 0: the checkpoint of task 2 cannot be used: " in said
    assert cause in said
    assert exact(tmp_path / "run") == exact(whole)
    assert states(tmp_path / "run") == states(whole)
    assert len(list(steps(plugin))) == 48 + 6, "the second task is learned from its beginning"


@pytest.mark.parametrize("minutes", ["-1", "nan", "inf"])
def test_odd_minutes_are_refused(minutes: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--methods", "sgd", "--checkpoint-minutes", minutes]) == 2
    assert "must be a number of minutes from 0, as 10" in capsys.readouterr().err
