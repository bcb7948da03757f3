"""A cell's evaluations share a network, and verified ones do not trust it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from baselines.sgd import SGD
from benchmark.config import Settings
from benchmark.learning import answering
from benchmark.learning.learner import Cell
from benchmark.planning.preparation import Prepared
from benchmark.progress.events import ignore
from benchmark.running.executors.cell_learner import CellLearner
from benchmark.running.executors.cells import Job
from benchmark.running.executors.evaluations import EvaluationChangedError
from benchmark.storage.folder import RunFolder
from benchmark.storage.records import Records, read_records, record_path, write_record
from benchmark.streams.base import Stream, Task
from methods import Network
from methods.configured import ConfiguredMethod, configure

CPU = torch.device("cpu")
Run = Callable[..., Records]


@pytest.fixture
def run(tiny_network: Network, tiny_tasks: tuple[Task, ...], tmp_path: Path) -> Run:
    """run(method) -> the records of a cell of three tasks; a second call goes on with what is there."""

    def learn(method: ConfiguredMethod, verify: bool = False) -> Records:
        settings = Settings(methods=(method.label,), epochs=1, batch_size=8)
        prepared = Prepared(settings, (method,), Stream("tiny", tiny_tasks), tiny_network, CPU)
        folder, key = RunFolder(tmp_path), (method.label, 0, 0)
        CellLearner(prepared, folder, [[1, 2, 3]], keep_states=True, verify=verify).do(Job(method.label, key), ignore)
        return read_records(folder.cell(*key))

    return learn


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tasks for which a network was made."""
    found: list[int] = []
    prepare = answering.prepare

    def note(cell: Cell, task: int) -> object:
        found.append(task)
        return prepare(cell, task)

    monkeypatch.setattr(answering, "prepare", note)
    return found


@pytest.mark.parametrize("spec", ["sgd", "er", "packnet", "hat", "psp", "psp:bn=shared", "sgd-ll"])
def test_a_cell_has_one_network_for_all_evaluations(run: Run, made: list[int], spec: str) -> None:
    run(configure(spec))
    assert made == [1]


def test_each_verified_evaluation_has_a_network_of_its_own(run: Run, made: list[int]) -> None:
    run(configure("packnet"), verify=True)
    assert made == [1, 1, 1, 2, 1, 2, 3], "the cell's, and one for each task after each"


def test_a_method_that_breaks_its_word_is_found(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its second task on the features have another sign, of which its kept network would hear nothing."""

    def adapt(self: SGD, network: Network) -> None:
        sign = 1 if self.task == 1 else -1
        network.backbone.register_forward_hook(lambda backbone, inputs, features: sign * features)

    monkeypatch.setattr(SGD, "adapt", adapt, raising=False)
    monkeypatch.setattr(SGD, "switch_task", lambda self, network: None, raising=False)
    with pytest.raises(EvaluationChangedError, match=r"task 2 after \d tasks gives"):
        run(configure("sgd"), verify=True)


def test_a_result_of_an_earlier_version_is_found_by_its_files(run: Run, tmp_path: Path) -> None:
    """There `network` was the hash of all values; it is not compared where the files are the same."""
    whole = run(configure("clr"))
    folder = RunFolder(tmp_path).cell("clr", 0, 0)
    for number in (1, 2):
        record = {name: value for name, value in whole[number - 1].items() if name != "sha256"}
        record["evaluated"] = [{**entry, "network": f"old-{entry['task']}"} for entry in record["evaluated"]]
        write_record(record_path(folder, number), record)
    record_path(folder, 3).unlink()
    *_, last = run(configure("clr"))
    assert last["evaluations"] == 1
    assert [entry["accuracy"] for entry in last["evaluated"]] == [e["accuracy"] for e in whole[-1]["evaluated"]]
    assert [entry["network"] for entry in last["evaluated"][:2]] == ["old-1", "old-2"]
