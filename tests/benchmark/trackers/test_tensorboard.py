"""TensorBoard's files, read by its own reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from benchmark.progress.events import TaskBegan
from benchmark.trackers.curves import Curves
from benchmark.trackers.tensorboard import TensorBoardTracker

CLR, ER = ("clr", 0, 0), ("er:memory=10", 0, 0)


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder)).Reload()


def points(folder: Path, metric: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in read(folder).Scalars(metric)]


def track(learning: Any) -> Curves:
    return Curves(TensorBoardTracker(learning.run.path), learning.run, learning.manifest, complain=pytest.fail)


def test_curves_go_on_without_double_points(learning: Any) -> None:
    learning.learn(CLR, 1)
    interrupted = track(learning)
    interrupted.handle(TaskBegan("clr, seed 0", 2, "sign: digits"))
    interrupted.close()
    for key, number in ((CLR, 2), (ER, 1), (ER, 2)):
        learning.learn(key, number)
    learning.end()
    again = track(learning)
    again.publish(learning.results)
    again.close()

    folder = learning.run.path / "tensorboard"
    for cell in ("clr, seed 0", "er_memory=10, seed 0"):
        assert points(folder / cell, "loss") == [(1, 1.5), (2, 1.25), (3, 0.5), (4, 0.25)]
        assert points(folder / cell, "average_accuracy") == [(1, 3 / 8), (2, 5 / 8)]
        assert points(folder / cell, "accuracy/1 fungi") == [(1, 3 / 8), (2, 4 / 8)]
        assert points(folder / cell, "accuracy/2 sign_ digits") == [(2, 6 / 8)]


def test_tables_and_figures_are_there_once(learning: Any) -> None:
    learning.end()
    for _ in range(2):
        TensorBoardTracker(learning.run.path).publish(learning.results)
    (file,) = (learning.run.path / "tensorboard").glob("events.*")
    content = read(file.parent)
    (image,) = content.Images("average_accuracy")
    assert (image.width, image.height) == (4, 3)
    (text,) = content.Tensors("summary/text_summary")
    assert text.tensor_proto.string_val == [b"| Method |\n"]
