"""MLflow: a run for the whole benchmark, and a run below it for each cell."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from pathlib import Path
from typing import Any

# Send nothing about the user without the user's consent; do not wait minutes for a server that does not answer.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from benchmark.results.run import Results
from benchmark.trackers.base import AVERAGE_ACCURACY, LOSS, Lesson, tables_and_figures
from methods.errors import UserError, first_line

# Its logger would report the database tables that it makes in a new store.
logging.getLogger("mlflow").setLevel(logging.WARNING)

# The tag that finds a run again.
_KEY = "continual_benchmark.key"

# The most that a server takes at once.
_BATCH = 1000


class MLflowTracker:
    """Writes to the store of MLFLOW_TRACKING_URI, or to one in the run's folder.

    Args:
        folder: of the run.
        began: when the run began, which tells it from others with the same name.
        settings: cell -> what decides its numbers.

    Raises:
        UserError: the store cannot be used.
    """

    def __init__(self, folder: Path, began: str, settings: dict[str, dict[str, Any]]):
        self._folder = folder
        self._began = began
        self._settings = settings
        self._runs: dict[str, str] = {}
        given = os.environ.get("MLFLOW_TRACKING_URI")
        uri = given or f"sqlite:///{folder.absolute() / 'mlflow.db'}"
        artifacts = None if given else (folder.absolute() / "mlflow-artifacts").as_uri()
        try:
            self._client = MlflowClient(uri)
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "continual-benchmark")
            known = self._client.get_experiment_by_name(name)
            self._experiment = known.experiment_id if known else self._client.create_experiment(name, artifacts)
            self._whole = self._run(folder.name, {})
        except MlflowException as error:
            raise UserError(
                f"--tracker mlflow: {uri} cannot be used ({first_line(error)}); "
                "set MLFLOW_TRACKING_URI to a store that can be, or leave it unset"
            ) from error

    def known(self, cell: str) -> int:
        return len(self._client.get_metric_history(self._of(cell), AVERAGE_ACCURACY))

    def add(self, cell: str, lesson: Lesson) -> None:
        now = int(1000 * time.time())
        losses = zip(lesson.epochs, lesson.losses, strict=True)
        points = [Metric(LOSS, loss, now, epoch) for epoch, loss in losses]
        points += [Metric(metric, value, now, lesson.learned) for metric, value in lesson.accuracies.items()]
        for first in range(0, len(points), _BATCH):
            self._client.log_batch(self._of(cell), points[first : first + _BATCH])

    def finish(self, cell: str) -> None:
        self._client.set_terminated(self._runs.pop(cell))

    def publish(self, results: Results) -> None:
        tables, figures = tables_and_figures(results.path)
        for path in tables:
            self._client.log_artifact(self._whole, str(path))
        for path in figures:
            self._client.log_artifact(self._whole, str(path), "figures")
        self._client.set_terminated(self._whole)

    def close(self) -> None:
        for run in self._runs.values():
            self._client.set_terminated(run, "KILLED")

    def _of(self, cell: str) -> str:
        """The identifier of a cell's run."""
        if cell not in self._runs:
            self._runs[cell] = self._run(cell, {"mlflow.parentRunId": self._whole})
            parameters = [Param(key, str(value)) for key, value in self._settings[cell].items()]
            self._client.log_batch(self._runs[cell], params=parameters)
        return self._runs[cell]

    def _run(self, name: str, tags: dict[str, str]) -> str:
        """The identifier of the run with that name, made if it does not exist."""
        key = hashlib.sha256(f"{self._folder.name}\n{self._began}\n{name}".encode()).hexdigest()
        found = self._client.search_runs([self._experiment], f"tags.`{_KEY}` = '{key}'")
        if found:
            self._client.update_run(found[0].info.run_id, status="RUNNING")
            return found[0].info.run_id
        return self._client.create_run(self._experiment, tags={_KEY: key, **tags}, run_name=name).info.run_id
