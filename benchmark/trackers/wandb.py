"""Weights & Biases: a run for each cell, in the group of the benchmark's run."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

# Errors are reported to its makers only if the user says so.
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")

import wandb

from benchmark.results.run import Results
from benchmark.storage.folder import printable_frame
from benchmark.trackers.base import AVERAGE_ACCURACY, LOSS, Lesson, tables_and_figures

#: The x axis of accuracies and of losses.
TASKS, EPOCHS = "tasks_learned", "epoch"

# The run with the tables and figures.
_REPORT = "report"


class WandbTracker:
    """Writes to `wandb/` in the run's folder, and to the service only if the user has allowed it.

    Args:
        folder: of the run.
        began: when the run began, which tells it from others with the same name.
        settings: cell -> what decides its numbers.
    """

    def __init__(self, folder: Path, began: str, settings: dict[str, dict[str, Any]]):
        self._folder = folder
        self._began = began
        self._settings = settings
        self._runs: dict[str, wandb.Run] = {}

    def known(self, cell: str) -> int:
        return int(self._run(cell).summary.get(TASKS) or 0)

    def add(self, cell: str, lesson: Lesson) -> None:
        run = self._run(cell)
        for epoch, loss in zip(lesson.epochs, lesson.losses, strict=True):
            run.log({LOSS: loss, EPOCHS: epoch})
        run.log({**lesson.accuracies, TASKS: lesson.learned})

    def finish(self, cell: str) -> None:
        if cell in self._runs:
            self._runs.pop(cell).finish()

    def publish(self, results: Results) -> None:
        tables, figures = tables_and_figures(results.path)
        run = self._run(_REPORT)
        run.log({name: wandb.Table(dataframe=printable_frame(frame)) for name, frame in results.tables.items()})
        run.log({f"figures/{path.stem}": wandb.Image(str(path)) for path in figures})
        artifact = wandb.Artifact(f"results-{run.id}", type="results")
        for path in (*tables, *figures):
            artifact.add_file(str(path), name=str(path.relative_to(results.path)))
        run.log_artifact(artifact)
        self.finish(_REPORT)

    def close(self) -> None:
        for cell in list(self._runs):
            self.finish(cell)

    def _run(self, cell: str) -> wandb.Run:
        if cell in self._runs:
            return self._runs[cell]
        name = hashlib.sha256(f"{self._folder.name}\n{self._began}\n{cell}".encode()).hexdigest()[:16]
        offline = "WANDB_MODE" not in os.environ and "WANDB_API_KEY" not in os.environ
        # An offline run cannot go on in its old files: the whole run is written again.
        for old in (self._folder / "wandb").glob(f"offline-run-*-{name}"):
            shutil.rmtree(old)
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "continual-benchmark"),
            group=self._folder.name,
            name=cell,
            id=name,
            dir=self._folder,
            config=self._settings.get(cell),
            mode="offline" if offline else None,
            resume=None if offline else "allow",
            reinit="create_new",
            settings=wandb.Settings(
                console="off", silent=True, disable_git=True, save_code=False, x_disable_stats=True
            ),
        )
        run.define_metric(LOSS, step_metric=EPOCHS)
        for accuracies in (AVERAGE_ACCURACY, "accuracy/*"):
            run.define_metric(accuracies, step_metric=TASKS)
        self._runs[cell] = run
        return run
