"""run.log, in which a person reads later what happened."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from benchmark.progress.events import CellBegan, CellEnded, Event, Failure, JobEnded, TaskBegan
from benchmark.running.log import logged

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*"


def test_processes_follow_one_another(tmp_path: Path) -> None:
    told: list[Event] = []
    events = (CellBegan("er, seed 0", 1, 0, 1), TaskBegan("er, seed 0", 1, "fungi"), CellEnded("er, seed 0"))

    def interrupted() -> None:
        with logged(tmp_path, 2, ["run", "--name", "a b"], told.append) as tell:
            tell(events[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with logged(tmp_path, 2, ["run"], told.append) as tell:
        for event in events:
            tell(event)
    assert told == [events[0], *events]
    lines = (tmp_path / "run.log").read_text(encoding="utf-8").splitlines()
    patterns = [
        f"{TIME} run --name 'a b'",
        f"{TIME} ended by KeyboardInterrupt",
        f"{TIME} run",
        r"\[0:00:0\d\] er, seed 0: task 1, fungi, learned",
        f"{TIME} finished",
    ]
    assert len(lines) == len(patterns)
    assert all(re.fullmatch(pattern, line) for pattern, line in zip(patterns, lines, strict=True)), lines


def test_a_failure_has_its_traceback(tmp_path: Path) -> None:
    with logged(tmp_path, 2, ["run"], lambda event: None) as tell:
        tell(JobEnded("er, seed 0", Failure("KeyError: 'a'", "Traceback:\n  in loss\nKeyError: 'a'")))
        tell(JobEnded("clr, seed 0", None))
    lines = (tmp_path / "run.log").read_text(encoding="utf-8").splitlines()
    assert lines[1:-1] == ["    Traceback:", "      in loss", "    KeyError: 'a'"]


def test_a_folder_that_was_removed_does_not_come_back(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with logged(folder, 2, ["run"], lambda event: None) as tell:
        shutil.rmtree(folder)
        tell(JobEnded("er, seed 0", Failure("no luck", "Traceback")))
    assert not folder.exists()
