"""Methods that can be told to die or to wait, and runs of them on the embedded stream."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmark.config import Settings
from benchmark.progress.events import Event, JobBegan, JobEnded, tell_all
from benchmark.running.executors.base import Executor
from benchmark.running.executors.plan import Plan
from benchmark.workers import warm_up
from methods import methods
from methods.registry import load_plugin

PLUGIN = '''
import os, signal, time
from pathlib import Path

import torch

from baselines.bn_only import BNOnly
from baselines.shared.finetuning import FineTuning
from methods import methods

HERE = Path(__file__).parent


@methods.register("mortal")
class Mortal(FineTuning):
    """Kills its process in the middle of task 2 while a file lies there, which it removes before."""

    lasting = False
    order = "die"

    def after_training_epoch(self, strategy, **kwargs):
        order = HERE / self.order
        if self.task == 2 and order.exists():
            if not self.lasting:
                order.unlink()
            self.fall()

    def fall(self):
        os.kill(os.getpid(), signal.SIGKILL)


@methods.register("doomed")
class Doomed(Mortal):
    """Kills its process again and again."""

    lasting = True


@methods.register("displaced")
class Displaced(Mortal):
    """Its job of Slurm is told in the middle of task 2 that it must make room."""

    order = "move"

    def fall(self):
        os.kill(os.getpid(), signal.SIGUSR2)
        time.sleep(60)


@methods.register("wrong")
class Wrong(Mortal):
    """Meets an error of the GPU, after which its process could not use it again, and hides it."""

    order = "assert"

    def fall(self):
        (HERE / "broken").write_text(str(os.getpid()))
        try:
            raise torch.AcceleratorError("CUDA error: device-side assert triggered\\nSearch for it")
        except RuntimeError:
            raise KeyError("label") from None

    def before_training_exp(self, step):
        if (HERE / "broken").exists():
            assert (HERE / "broken").read_text() != str(os.getpid()), "this process cannot use the GPU"


@methods.register("always-wrong")
class AlwaysWrong(Wrong):
    lasting = True


@methods.register("large")
class Large(Mortal):
    """Finds too little memory on the GPU, and notes who else learns when it has enough."""

    order = "fill"

    def fall(self):
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 1.00 GiB of which 0 is free."
        )

    def after_training_epoch(self, strategy, **kwargs):
        super().after_training_epoch(strategy, **kwargs)
        (HERE / "beside").write_text(",".join(path.name for path in HERE.glob("small-*")))


@methods.register("too-large")
class TooLarge(Large):
    lasting = True


@methods.register("small")
class Small(Wrong):
    """Leaves a file there while it learns. Its process must not be broken."""

    order = "nothing"

    def before_training_exp(self, step):
        super().before_training_exp(step)
        (HERE / f"small-{os.getpid()}").touch()

    def after_training_exp(self, step):
        (HERE / f"small-{os.getpid()}").unlink()


@methods.register("endless")
class Endless(BNOnly):
    """Never finishes task 2, and no single task but the first, while a file lies there."""

    def after_training_epoch(self, strategy, **kwargs):
        while self.task > 1 and (HERE / "wait").exists():
            time.sleep(0.01)


@methods.register("keeper")
class Keeper(BNOnly):
    """Says that it isolates its tasks, but keeps something, without which no later one begins."""

    def before_training_exp(self, step):
        self.before = 0 if self.task == 1 else self.kept["tasks"]

    def after_training_exp(self, step):
        self.kept["tasks"] = torch.as_tensor(self.before + 1)
'''


@dataclass(frozen=True)
class Place:
    """A folder with the plugin, in which files tell its methods what to do.

    Attributes:
        path: of the folder.
        plugin: the file.
        options: of a command that runs as `plan` does.
    """

    path: Path
    plugin: Path
    options: tuple[str, ...]

    def tell(self, word: str) -> None:
        """Let methods die, or wait."""
        (self.path / word).touch()

    def plan(self, name: str, *labels: str, **settings: Any) -> Plan:
        """A run of methods, two tasks each, with one thread a worker."""
        asked = Settings(methods=labels, tasks=2, train_images=40, test_images=20, epochs=1, **settings)
        (self.path / name).mkdir(exist_ok=True)
        return Plan(asked, (str(self.plugin),), self.path, self.path / name, [[1, 2]], False, False, threads=1)

    def do(self, executor: Executor, jobs: list[Any], listener: Any) -> dict[str, str | None]:
        """Job -> the cause of its failure, if it failed; each job has begun, and ended once."""
        events: list[Event] = []
        executor.run(deque(jobs), tell_all(events.append, listener))
        ends = [event for event in events if isinstance(event, JobEnded)]
        assert sorted(event.job for event in ends) == sorted(job.name for job in jobs)
        assert {event.job for event in events if isinstance(event, JobBegan)} == {job.name for job in jobs}
        return {event.job: event.failure and event.failure.cause for event in ends}


@pytest.fixture
def place(tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch) -> Place:
    # Workers that are forked from what has imported everything start at once.
    warm_up()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(methods, "_entries", dict(methods._entries))
    plugin = tmp_path / "plugin.py"
    plugin.write_text(PLUGIN)
    load_plugin(str(plugin))
    options = "--tasks 2 --train-images 40 --test-images 20 --epochs 1 --plugin plugin.py --out . --methods"
    return Place(tmp_path, plugin, tuple(options.split()))
