"""What only a real GPU shows: every method on one. Without a GPU, tests/test_pretended_cuda.py pretends to have one."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmark.checks.base import same_bytes
from benchmark.checks.subject import MethodSubject, flat
from benchmark.learning.learner import LearnedTask
from benchmark.learning.strategy import Strategy
from methods import methods
from methods.configured import configure

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="torch sees no GPU here; tests/test_pretended_cuda.py pretends to have one"
)

ROOT = Path(__file__).parents[1]
DEVICE = torch.device("cuda")
SPECIFICATIONS = methods.members("all")

PLUGIN = '''
import torch

from baselines.shared.finetuning import FineTuning
from methods import methods


@methods.register("asserting")
class Asserting(FineTuning):
    """Reads past the end of a tensor on the GPU, after which the process cannot use the GPU any more."""

    def after_training_epoch(self, step):
        far = torch.full((1,), 99, device=step.device)
        torch.zeros(2, device=step.device)[far].sum().item()
'''


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Float32 with all its bits; cuBLAS gives the same bits each time only with this variable."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
    torch.use_deterministic_algorithms(False)


def learned(spec: str, device: torch.device = DEVICE) -> list[LearnedTask]:
    """The tiny tasks, learned on a device."""
    subject = MethodSubject(configure(spec))
    return subject.fold(replace(subject.cell(), device=device), subject.tasks)


@pytest.mark.parametrize("spec", SPECIFICATIONS)
def test_the_same_bytes_twice(spec: str) -> None:
    torch.use_deterministic_algorithms(True)
    first, again = (flat(learned(spec)[-1].state) for _ in range(2))
    assert all(tensor.device.type == "cpu" for tensor in first.values())
    same_bytes(first, again, f"of {spec} has other bytes in a second run on a GPU")


@pytest.mark.parametrize("spec", SPECIFICATIONS)
def test_losses_as_on_the_cpu(spec: str) -> None:
    pairs = zip(learned(spec), learned(spec, torch.device("cpu")), strict=True)
    for number, (there, here) in enumerate(pairs, 1):
        assert there.losses == pytest.approx(here.losses, abs=1e-4), f"task {number}"
        assert there.operations == here.operations


@pytest.mark.parametrize("spec", SPECIFICATIONS)
def test_no_step_waits(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch raises an error where a step waits, but for the first step of a task."""
    step = Strategy._step

    def watched(strategy: Strategy) -> None:
        torch.cuda.set_sync_debug_mode("error" if strategy.steps else "default")
        try:
            step(strategy)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Strategy, "_step", watched)
    learned(spec)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_worker_that_lost_the_gpu_is_replaced(jobs: int, tmp_path: Path) -> None:
    """Only the cell of the method that loses it fails; cells before and after it finish."""
    plugin = tmp_path / "plugin.py"
    plugin.write_text(PLUGIN)
    size = "--tasks 2 --train-images 40 --test-images 20 --epochs 1"
    command = f"run --device cuda --jobs {jobs} {size} --plugin {plugin} --methods sgd,asserting,bn-only,er --out there"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", *command.split()],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    (summary,) = (tmp_path / "there").glob("*/summary.csv")
    with summary.open() as file:
        statuses = {row["method"]: row["status"] for row in csv.DictReader(file)}
    assert statuses == dict.fromkeys(("sgd", "bn-only", "er"), "succeeded") | {"asserting": "failed"}
