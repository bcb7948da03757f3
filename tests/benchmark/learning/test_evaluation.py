"""Accuracy by hand, and when a task is evaluated again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.config import Settings
from benchmark.files import HOLDER
from benchmark.images.labelled import LabelledImages
from benchmark.learning.evaluation import evaluate, evaluation_fingerprint, network_for
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from benchmark.planning.preparation import Prepared
from benchmark.progress.events import ignore
from benchmark.results.answers import accuracy
from benchmark.running.executors.cell_learner import CellLearner
from benchmark.running.executors.cells import Job
from benchmark.storage.folder import RunFolder
from benchmark.storage.records import read_records
from benchmark.streams.base import Stream
from methods import methods
from methods.configured import configure
from methods.network import Network

CPU = torch.device("cpu")


@pytest.fixture
def brightest() -> Network:
    """Answers with the brightest channel of a one-pixel image."""
    network = Network(nn.Flatten(), 3, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    network.heads.add("1", 3)
    network.use_head("1", 3)
    network.place({"heads.1.weight": torch.eye(3), "heads.1.bias": torch.zeros(3)})
    return network.eval()


def test_accuracy_is_the_share_that_is_right(brightest):
    pixels = torch.tensor([[9, 1, 1], [1, 9, 1], [1, 1, 9], [9, 1, 1], [1, 1, 9]], dtype=torch.uint8)
    data = LabelledImages(pixels.view(5, 3, 1, 1), torch.tensor([0, 1, 2, 1, 0]))
    assert accuracy(evaluate(brightest, data, CPU).classes, data.labels) == 3 / 5


def test_an_answer_is_a_class_and_how_sure_the_network_is(brightest):
    pixels = torch.tensor([[9, 1, 1], [1, 1, 200], [7, 7, 7]], dtype=torch.uint8)
    answers = evaluate(brightest, LabelledImages(pixels.view(3, 3, 1, 1), torch.tensor([2, 1, 0])), CPU)
    # Of a tie, the first class is the answer.
    assert answers.classes.tolist() == [0, 2, 0]
    assert answers.classes.dtype == np.int64
    logits = (pixels.double() / 255 - 0.5) / 0.5
    sure = logits.exp().max(1)[0] / logits.exp().sum(1)
    assert answers.confidence.tolist() == pytest.approx(sure.tolist(), rel=1e-6)
    assert answers.confidence.dtype == np.float32


@pytest.mark.parametrize("count", [1, 255, 256, 257, 600])
def test_every_image_counts_once_whatever_the_batches(brightest, count):
    pixels = torch.tensor([[9, 1, 1]], dtype=torch.uint8).repeat(count, 1)
    labels = torch.zeros(count, dtype=torch.int64)
    labels[-1] = 1
    data = LabelledImages(pixels.view(count, 3, 1, 1), labels)
    assert accuracy(evaluate(brightest, data, CPU).classes, labels) == (count - 1) / count


def test_a_weight_that_is_computed_is_computed_once_for_all_batches(brightest):
    """600 images are several batches. The next evaluation sees a new value."""

    class Sign(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("sign", torch.tensor(1.0))
            self.reads = 0

        def forward(self, weight):
            self.reads += 1
            return self.sign * weight

    layer, sign = nn.Linear(3, 3, bias=False), Sign()
    layer.weight.data = torch.eye(3)
    nn.utils.parametrize.register_parametrization(layer, "weight", sign)
    brightest.backbone = nn.Sequential(nn.Flatten(), layer).eval()
    pixels = torch.tensor([[9, 1, 1]], dtype=torch.uint8).repeat(600, 1).view(600, 3, 1, 1)
    data, sign.reads = LabelledImages(pixels, torch.zeros(600, dtype=torch.int64)), 0
    assert not evaluate(brightest, data, CPU).classes.any()
    assert sign.reads == 1
    sign.sign.fill_(-1)
    assert evaluate(brightest, data, CPU).classes.all()


CHECKSUMS = {"task-1": "a", "task-2": "b", "shared-2": "s", "memory-2": "m"}


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"task-1": "x"}, False),
        ({"shared-2": "x"}, False),
        ({"task-2": "x"}, True),
        ({"memory-2": "x"}, True),
        ({"task-3": "x"}, True),
        ({"task-11": "x"}, True),
    ],
)
def test_the_fingerprint_changes_with_what_the_task_uses_and_with_nothing_else(changed, same):
    before = evaluation_fingerprint(CHECKSUMS, 1, "data")
    assert (evaluation_fingerprint(CHECKSUMS | changed, 1, "data") == before) == same


def test_the_fingerprint_does_not_depend_on_how_many_tasks_were_learned():
    later = {"task-1": "a", "task-2": "b", "task-3": "c", "shared-3": "s"}
    assert evaluation_fingerprint(CHECKSUMS, 1, "data") == evaluation_fingerprint(later, 1, "data")


def test_the_fingerprint_changes_with_the_images_and_where_a_part_vanishes():
    before = evaluation_fingerprint(CHECKSUMS, 1, "data")
    without = {stem: value for stem, value in CHECKSUMS.items() if stem != "shared-2"}
    assert len({before, evaluation_fingerprint(CHECKSUMS, 1, "other"), evaluation_fingerprint(without, 1, "data")}) == 3


def test_the_network_that_answers_holds_the_tensors_of_its_task(make_cell, tiny_tasks):
    cell = make_cell("clr")
    how = Training(methods.get("clr").recipe, epochs=1, batch_size=8)
    state = start(cell)
    for task in tiny_tasks[:2]:
        state = learn(cell, state, task, how).state
    for number, classes in ((1, 3), (2, 2)):
        network = network_for(cell, state, number, classes)
        assert not any(module.training for module in network.modules())
        live = {name: tensor for name, _, tensor in network.tensors()} | network.heads.take(str(number))
        assert all(torch.equal(live[name], tensor) for name, tensor in state.tasks[number].items())
        assert network(tiny_tasks[number - 1].test.images).shape == (20, classes)


@pytest.fixture
def records_of(tiny_network: Network, tiny_tasks, tmp_path: Path):
    """records_of("clr") -> what a cell of three tasks leaves in its folder."""

    def learn_all(text: str) -> list[dict]:
        settings = Settings(methods=(text,), epochs=1, batch_size=8)
        prepared = Prepared(settings, (configure(text),), Stream("tiny", tiny_tasks), tiny_network, CPU)
        folder, key = RunFolder(tmp_path), (text, 0, 0)
        CellLearner(prepared, folder, [[1, 2, 3]], keep_states=False, verify=False).do(Job(text, key), ignore)
        return read_records(folder.cell(*key))

    return learn_all


@pytest.mark.parametrize(
    ("method", "evaluations"),
    [
        ("clr", [1, 1, 1]),
        ("bn-only", [1, 1, 1]),
        ("linear-probe", [1, 1, 1]),
        # What is shared changes, but not what a learned task sees of it.
        ("packnet", [1, 1, 1]),
        ("sgd", [1, 2, 3]),
        ("ewc", [1, 2, 3]),
        ("er", [1, 2, 3]),
        ("sgd-ll", [1, 2, 3]),
    ],
)
def test_isolated_tasks_are_evaluated_once_and_overwritten_ones_after_every_task(records_of, method, evaluations):
    records = records_of(method)
    assert [record["evaluations"] for record in records] == evaluations
    assert [[e["task"] for e in record["evaluated"]] for record in records] == [[1], [1, 2], [1, 2, 3]]
    assert all(e["images"] == 20 for record in records for e in record["evaluated"])


@pytest.mark.parametrize("method", ["clr", "sgd", "er"])
def test_what_is_recorded_is_what_an_evaluation_gives(records_of, make_cell, tiny_tasks, method):
    records = records_of(method)
    cell = replace(make_cell(method), tasks=tuple(task.name for task in tiny_tasks))
    state = start(cell)
    how = Training(methods.get(method).recipe, epochs=1, batch_size=8)
    for task, record in zip(tiny_tasks, records, strict=True):
        state = learn(cell, state, task, how).state
        for number in range(1, state.learned + 1):
            seen = tiny_tasks[number - 1]
            answers = evaluate(network_for(cell, state, number, len(seen.classes)), seen.test, CPU)
            assert record["evaluated"][number - 1]["accuracy"] == accuracy(answers.classes, seen.test.labels)


def test_a_cell_that_goes_on_knows_what_was_evaluated_before(records_of, tmp_path):
    whole = records_of("clr")
    (RunFolder(tmp_path).cell("clr", 0, 0) / "after-3.json").unlink()
    again = records_of("clr")
    assert [record["evaluations"] for record in again] == [1, 1, 1]
    for before, after in zip(whole, again, strict=True):
        assert list(before) == list(after)
        measured = {k for k in before if k.endswith("_seconds") or k == "peak_memory_bytes"}
        assert measured >= {"training_seconds", "training_spread_seconds", "epoch_seconds"}
        assert all(before[k] == after[k] for k in before.keys() - measured)


@pytest.mark.parametrize("method", ["sgd-ll", "sgd", "psp", "psp:bn=shared", "linear-probe"])
def test_tasks_of_the_same_images_are_evaluated_each_for_itself(tiny_tasks, tiny_network, tmp_path, method):
    """Nothing tells the files that they use apart in `sgd-ll`; in `psp:bn=shared`, they still answer differently."""
    stream = Stream("twins", (tiny_tasks[0], replace(tiny_tasks[0], name="again")))
    settings = Settings(methods=(method,), epochs=2, batch_size=8)
    prepared = Prepared(settings, (configure(method),), stream, tiny_network, CPU)
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / HOLDER).touch()
    folder = RunFolder(tmp_path)
    CellLearner(prepared, folder, [[1, 2]], keep_states=False, verify=False).do(Job(method, (method, 0, 0)), ignore)
    records = read_records(folder.cell(method, 0, 0))
    assert [[entry["task"] for entry in record["evaluated"]] for record in records] == [[1], [1, 2]]

    cell = Cell(tiny_network, configure(method).make, 3, 0, CPU, stream.names)
    state = start(cell)
    for task in stream.tasks:
        state = learn(cell, state, task, Training(configure(method).recipe, epochs=2, batch_size=8)).state
    networks = [network_for(cell, state, number, 3) for number in (1, 2)]
    test = tiny_tasks[0].test
    expected = [accuracy(evaluate(network, test, CPU).classes, test.labels) for network in networks]
    assert [entry["accuracy"] for entry in records[-1]["evaluated"]] == expected
