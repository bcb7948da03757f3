"""Finished runs of tiny tasks on the embedded backbone, and their test images as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmark.backbones import backbone_of
from benchmark.checks.tiny import three_tasks
from benchmark.config import Execution, Settings
from benchmark.planning.preparation import Prepared
from benchmark.planning.scenarios import rules_for
from benchmark.progress.events import ignore
from benchmark.running.runner import run
from benchmark.streams.base import Stream, Task
from methods.configured import configure


@pytest.fixture(scope="session")
def learn() -> Callable[..., Path]:
    """learn(folder, "clr", "sgd", scenario="class") -> the folder of a run of these methods on three tiny tasks."""

    def start(folder: Path, *names: str, **settings: object) -> Path:
        asked = Settings(methods=names, epochs=1, batch_size=8, **settings)
        methods = tuple(configure(name) for name in names)
        rules = rules_for(asked.scenario, methods, asked.infer)
        asked = Settings(**{**vars(asked), "infer": rules})
        backbone = backbone_of("mini").network()
        prepared = Prepared(asked, methods, Stream("tiny", three_tasks()), backbone, torch.device("cpu"))
        with pytest.MonkeyPatch.context() as quick:
            for name in ("draw_figures", "draw_oracle_gap", "write_page"):
                quick.setattr(f"benchmark.report.write.{name}", lambda *arguments, **options: None)
            run(prepared, Execution(jobs=1, in_process=True), folder, [], ignore)
        return folder

    return start


@pytest.fixture(scope="session")
def tasked(learn: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in the scenario "task", with two orders, and rules that guess the task."""
    folder = tmp_path_factory.mktemp("runs") / "tasked"
    return learn(folder, "clr", "psp", orders=2, infer=("energy", "centres", "mahalanobis"))


@pytest.fixture(scope="session")
def classes(learn: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in the scenario "class"."""
    return learn(tmp_path_factory.mktemp("runs") / "classes", "clr", "ncm", scenario="class")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Task -> a folder with its test images as PNG files, whose names have their order."""
    root = tmp_path_factory.mktemp("pictures")
    return {task.name: write_pictures(root / task.name, task) for task in three_tasks()}


def write_pictures(folder: Path, task: Task) -> Path:
    folder.mkdir()
    for number, image in enumerate(task.test.images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{number:03}.png")
    return folder
