"""MLflow's store in the run's folder, read by its own client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mlflow")

from mlflow.tracking import MlflowClient

from benchmark.progress.events import TaskBegan
from benchmark.trackers.curves import Curves, open_tracker
from methods.errors import UserError

CLR = ("clr", 0, 0)


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


def track(learning: Any) -> Curves:
    tracker = open_tracker("mlflow", learning.run, learning.manifest)
    return Curves(tracker, learning.run, learning.manifest, complain=pytest.fail)


def test_curves_go_on_without_double_points(learning: Any) -> None:
    client = MlflowClient(f"sqlite:///{learning.run.path / 'mlflow.db'}")

    def runs() -> dict[str, Any]:
        (experiment,) = client.search_experiments(filter_string="name = 'continual-benchmark'")
        return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}

    learning.learn(CLR, 1)
    interrupted = track(learning)
    interrupted.handle(TaskBegan("clr, seed 0", 2, "sign: digits"))
    interrupted.close()
    assert {name: run.info.status for name, run in runs().items()} == {"mine": "RUNNING", "clr, seed 0": "KILLED"}
    learning.learn(CLR, 2)
    learning.end()
    again = track(learning)
    again.publish(learning.results)
    again.close()

    found = runs()
    assert {name: run.info.status for name, run in found.items()} == {"mine": "FINISHED", "clr, seed 0": "FINISHED"}
    cell, whole = found["clr, seed 0"], found["mine"].info.run_id
    assert cell.data.tags["mlflow.parentRunId"] == whole
    assert cell.data.params["method"] == "clr"
    assert cell.data.params["epochs"] == "2"

    def points(metric: str) -> list[tuple[int, float]]:
        return [(point.step, point.value) for point in client.get_metric_history(cell.info.run_id, metric)]

    assert points("loss") == [(1, 1.5), (2, 1.25), (3, 0.5), (4, 0.25)]
    assert points("average_accuracy") == [(1, 3 / 8), (2, 5 / 8)]
    assert points("accuracy/1 fungi") == [(1, 3 / 8), (2, 4 / 8)]
    assert [file.path for file in client.list_artifacts(whole)] == ["figures", "summary.csv", "summary.md"]
    assert list(Path(learning.run.path, "mlflow-artifacts").rglob("average_accuracy.png"))


def test_a_store_that_cannot_be_used_is_refused(learning: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://here")
    with pytest.raises(UserError, match=r"--tracker mlflow: nonsense://here cannot be used \(") as caught:
        track(learning)
    assert "\n" not in str(caught.value)
