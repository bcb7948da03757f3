"""When a tracker is told what, and that nothing it does stops a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.config import Execution, Settings
from benchmark.planning.preparation import Prepared
from benchmark.progress.events import CellEnded, TaskBegan
from benchmark.running.runner import run
from benchmark.streams.base import Stream, Task
from benchmark.trackers import curves
from benchmark.trackers.curves import Curves, tracked
from methods.configured import configure
from methods.errors import UserError
from methods.network import Network

CLR, ER = ("clr", 0, 0), ("er:memory=10", 0, 0)


@pytest.fixture
def heard(learning: Any, recorder: Any) -> Curves:
    return Curves(recorder, learning.run, learning.manifest, complain=pytest.fail)


def told(recorder: Any) -> list[tuple[str, int]]:
    return [(cell, lesson.learned) for cell, lesson in recorder.lessons]


def test_each_task_is_told_once_as_soon_as_the_next_begins(learning: Any, recorder: Any, heard: Curves) -> None:
    name = "er:memory=10, seed 0"
    heard.handle(TaskBegan(name, 1, "fungi"))
    assert told(recorder) == []
    learning.learn(ER, 1)
    heard.handle(TaskBegan(name, 2, "sign: digits"))
    assert told(recorder) == [(name, 1)]
    learning.learn(ER, 2)
    heard.handle(CellEnded(name))
    heard.publish(learning.results)
    assert told(recorder) == [(name, 1), (name, 2)]
    assert recorder.calls == [f"finish {name}", "publish"]


def test_tasks_that_are_learned_apart_are_told_once_they_are_a_sequence(
    learning: Any, recorder: Any, heard: Curves
) -> None:
    heard.handle(TaskBegan("clr, seed 0, task 2", 2, "sign: digits"))
    heard.handle(CellEnded("clr, seed 0, task 2"))
    assert told(recorder) == []
    for number in (1, 2):
        learning.learn(CLR, number)
    heard.handle(CellEnded("er:memory=10, seed 0"))
    assert told(recorder) == [("clr, seed 0", 1), ("clr, seed 0", 2)]


def test_what_a_tracker_knows_is_not_told_again(learning: Any, recorder: Any, heard: Curves) -> None:
    recorder.knows = 1
    for number in (1, 2):
        learning.learn(CLR, number)
    heard.catch_up()
    assert told(recorder) == [("clr, seed 0", 2)]
    assert list(recorder.lessons[0][1].epochs) == [3, 4]


def test_a_tracker_that_fails_is_told_no_more(
    learning: Any, recorder: Any, make_listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(cell: str, lesson: Any) -> None:
        raise ConnectionError("the server is gone\nand so on")

    recorder.add = fail
    monkeypatch.setattr(curves, "open_tracker", lambda *arguments: recorder)
    progress = make_listener()
    learning.learn(CLR, 1)
    with tracked("mlflow", learning.run, learning.manifest, progress) as (tell, _):
        tell(TaskBegan("clr, seed 0", 2, "sign: digits"))
        tell(TaskBegan("clr, seed 0", 2, "sign: digits"))
    cause = "ConnectionError: the server is gone"
    assert progress.warnings == [f"--tracker mlflow gets no more, the run goes on without it ({cause})"]
    assert progress.tasks == [("clr, seed 0", 2)] * 2
    assert recorder.calls == []


def test_an_interrupted_run_closes_its_tracker(
    learning: Any, recorder: Any, make_listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "open_tracker", lambda *arguments: recorder)
    with (
        pytest.raises(KeyboardInterrupt),
        tracked("wandb", learning.run, learning.manifest, make_listener()),
    ):
        raise KeyboardInterrupt
    assert recorder.calls == ["close"]


def test_without_a_tracker_nothing_stands_between(learning: Any, make_listener: Any) -> None:
    progress = make_listener()
    with tracked(None, learning.run, learning.manifest, progress) as (heard, _):
        assert heard is progress


@pytest.fixture
def go(
    tiny_tasks: tuple[Task, ...],
    tiny_network: Network,
    tmp_path: Path,
    make_listener: Any,
    quick_report: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[], None]:
    """go() -> learns with clr and er, or goes on, with a tracker."""
    monkeypatch.setattr("benchmark.learning.memory.gc.collect", lambda: 0)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: "somewhere")
    settings = Settings(methods=("clr", "er"), epochs=2, batch_size=8)
    chosen = tuple(map(configure, settings.methods))
    prepared = Prepared(settings, chosen, Stream("tiny", tiny_tasks), tiny_network, torch.device("cpu"))
    execution = Execution(jobs=1, tracker="mlflow")
    return lambda: run(prepared, execution, tmp_path / "run", [], make_listener())


def test_a_run_tells_its_tracker_everything(
    go: Callable[[], None], recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "open_tracker", lambda *arguments: recorder)
    go()
    assert told(recorder) == [(f"{name}, seed 0", number) for name in ("clr", "er") for number in (1, 2, 3)]
    assert recorder.calls == ["finish clr, seed 0", "finish er, seed 0", "publish", "close"]


def test_a_tracker_that_cannot_be_used_is_refused_before_anything_is_learned(
    go: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> None:
        raise UserError("--tracker mlflow: there is no server")

    monkeypatch.setattr(curves, "open_tracker", refuse)
    with pytest.raises(UserError, match="no server"):
        go()
    assert not (tmp_path / "run").exists()
