"""What `cost` counts without data is what a run then counts."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from benchmark.checks.subject import MethodSubject
from benchmark.checks.tiny import make_task
from benchmark.config import Execution, Settings
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.operations import inference_operations_per_image
from benchmark.learning.training import Training
from benchmark.planning.budgets import fair_budgets, with_budgets
from benchmark.planning.estimate import StreamShape, simulate
from benchmark.planning.preparation import Prepared
from benchmark.planning.scenarios import methods_for
from benchmark.progress.events import ignore
from benchmark.running.runner import run
from benchmark.storage.folder import RunFolder
from benchmark.storage.records import read_records
from benchmark.streams.base import Stream
from benchmark.streams.columns import in_columns
from methods.configured import configure
from methods.network import Network
from methods.scenarios import Scenario

#: Longer than what is simulated where a stream's cost follows from its first tasks.
TASKS = 4
#: Options with which something is full or summed within the stream, or with which other units are trained. The memory
#: of derpp is not full: which samples stay is drawn, and derpp asks the network once more about those that are new.
SPECIAL = ("ewc:storage=summed", "er:memory=40", "sgd:logits=all", "derpp:logits=current")


@pytest.fixture(autouse=True)
def _quick(quick_report: None, one_thread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.learning.memory.gc.collect", lambda: 0)


@pytest.fixture
def stream() -> Stream:
    """Tasks of three classes and 16 training images, as all tasks of an estimate have the same shape."""
    return Stream("tiny", tuple(make_task(number, 3, train=16) for number in range(1, TASKS + 1)))


@pytest.mark.parametrize("scenario", ["class", "domain"])
def test_every_method_costs_what_was_estimated(scenario: Scenario, stream: Stream) -> None:
    special = [spec for spec in SPECIAL if scenario == "class" or "logits" not in spec]
    # "avalanche" alone names no plugin.
    known = [spec for spec in methods_for(scenario) if spec != "avalanche"]
    settings = Settings(methods=(*known, *special), scenario=scenario, epochs=1, batch_size=8)
    shape = StreamShape(TASKS, classes=3, images=16, image_size=8)
    tasks = in_columns(stream, scenario).tasks
    for label in settings.methods:
        subject = MethodSubject(configure(label), tasks, scenario)
        # The tiny network of convolutions, or a tiny transformer where the method needs one.
        network = subject.network()
        estimated = simulate(copy.deepcopy(network).to("meta"), configure(label), settings, shape)
        cell = subject.cell(network=network)
        for learned, expected in zip(subject.fold(cell, tasks, epochs=1), estimated, strict=True):
            state = learned.state
            assert learned.operations == expected["training_flops"], label
            assert state.count_bytes() == {k: v for k, v in expected["bytes"].items() if k != "frozen"}, label
            assert learned.features_cached == expected["features_cached"], label
            network = network_for(cell, state, state.learned, 3)
            operations = inference_operations_per_image(network, network.classes, 8)
            assert operations == expected["inference_flops_per_image"], label


@pytest.mark.parametrize("scenario", ["class", "domain"])
def test_budgets_are_kept_where_one_head_answers(
    scenario: Scenario, stream: Stream, tiny_network: Network, tmp_path: Path
) -> None:
    """The memory has the bytes that ewc adds; the epochs cost what those of sgd cost, as they are then counted."""
    labels = ("er", "derpp", "ewc", "sgd")
    settings = Settings(
        methods=labels, scenario=scenario, epochs=6, batch_size=8, equal_memory="ewc", equal_compute="sgd"
    )
    budgets = fair_budgets(settings, tuple(map(configure, labels)), stream, tiny_network)
    chosen = with_budgets(tuple(map(configure, labels)), budgets)
    prepared = Prepared(settings, chosen, stream, tiny_network, torch.device("cpu"), budgets=budgets)
    run(prepared, Execution(jobs=1), tmp_path / "run", [], ignore)
    records = {label: read_records(RunFolder(tmp_path / "run").cell(label, 0, 0)) for label in labels}
    first, last = (records["ewc"][number]["bytes"]["memory"] for number in (0, -1))
    # By definition: what a task after the first one adds, times the number of tasks.
    added = (last - first) // (TASKS - 1) * TASKS
    total = {label: sum(record["training_flops"] for record in after) for label, after in records.items()}
    for label in ("er", "derpp"):
        assert budgets[label].memory_bytes == added
        stored = records[label][-1]["bytes"]["replay"]
        # As many whole samples as fit: an image, its label and task, and for derpp its logits.
        assert stored <= added < stored + 3 * 8 * 8 + 4 + 4 * 15
        assert budgets[label].epochs < 6
    for label in labels:
        assert [len(record["losses"]) for record in records[label]] == TASKS * [budgets[label].epochs]
        # Which samples stay in a full memory is drawn, and derpp asks the network once more about those that are new.
        drawn = 0.02 if label == "derpp" else 1e-6
        assert budgets[label].compute_ratio == pytest.approx(total[label] / total["sgd"], rel=drawn)


@pytest.mark.parametrize("name", ["sgd", "clr", "packnet", "linear-probe"])
def test_passes_over_validation_images_cost_what_was_estimated(
    name: str, stream: Stream, tiny_network: Network
) -> None:
    settings = Settings(methods=(f"{name}:keep=best",), epochs=3, batch_size=8)
    method, validation = configure(f"{name}:keep=best"), len(stream.tasks[0].validation)
    shape = StreamShape(2, classes=3, images=16, image_size=8, validation=validation)
    cell = Cell(tiny_network, method.make, 3, 0, torch.device("cpu"))
    state, found = start(cell), []
    for task in stream.tasks[:2]:
        learned = learn(cell, state, task, Training(method.recipe, 3, 8))
        state = learned.state
        found.append(learned.operations)
    records = simulate(copy.deepcopy(tiny_network).to("meta"), method, settings, shape)
    assert validation > 0
    assert [record["training_flops"] for record in records] == found
    # A method that may stop early costs at most as much.
    stops = simulate(copy.deepcopy(tiny_network).to("meta"), configure(f"{name}:patience=1"), settings, shape)
    assert [record["training_flops"] for record in stops] == found
