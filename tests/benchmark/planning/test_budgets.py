"""Fair budgets against sizes and operations worked out by hand, and how they reach cells, manifest and tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.config import Execution, Settings
from benchmark.learning.operations import inference_operations_per_image, training_operations_per_image
from benchmark.planning.budgets import Budget, check_budgets, fair_budgets, with_budgets
from benchmark.planning.preparation import Prepared
from benchmark.report.tables import budgets_display
from benchmark.running.executors.plan import Plan
from benchmark.running.manifest import check_same
from benchmark.running.runner import run
from benchmark.storage.folder import RunFolder
from benchmark.storage.manifest import Manifest
from benchmark.storage.records import read_records
from benchmark.streams.base import Stream, Task
from methods import Method, methods
from methods.configured import configure
from methods.errors import UserError
from methods.memory import MemorySize
from methods.network import Network

# clr's, on the tiny network, a task: nine weights for each of 6 channels, four of batch normalisation for each of 11.
CLR_BYTES = 4 * (9 * 6 + 4 * 11)
# A stored image of 8x8, with its label and task.
SAMPLE = 3 * 8 * 8 + 4


@pytest.fixture
def stream(tiny_tasks: tuple[Task, ...]) -> Stream:
    """Three tasks of 40 images and, on average, 3 classes."""
    return Stream("tiny", tiny_tasks)


@pytest.fixture
def budgets(stream: Stream, tiny_network: Network) -> Callable[..., dict[str, Budget]]:
    """budgets("er", "sgd", equal_memory="clr") -> their budgets on the tiny stream and network."""

    def find(*labels: str, epochs: int = 6, **options: Any) -> dict[str, Budget]:
        settings = Settings(methods=labels, epochs=epochs, batch_size=8, **options)
        return fair_budgets(settings, tuple(map(configure, labels)), stream, tiny_network)

    return find


def test_memories_have_the_bytes_that_another_method_adds_over_the_stream(budgets):
    assert budgets("er", "sgd", "derpp", equal_memory="clr") == {
        "er": Budget(3 * CLR_BYTES, 6, None),
        "sgd": Budget(None, 6, None),
        "derpp": Budget(3 * CLR_BYTES, 6, None),
    }


def test_what_says_how_large_a_memory_is_is_its_type(monkeypatch):
    monkeypatch.setattr(methods, "_entries", dict(methods._entries))

    @methods.register("hoarder")
    class Hoarder(Method):
        def __init__(self, attic: MemorySize = MemorySize(images=3), memory: int = 5):  # noqa: B008
            super().__init__()
            self.attic, self.memory = attic, memory

    (sized,) = with_budgets([configure("hoarder:memory=7")], {"hoarder:memory=7": Budget(1000, 1, None)})
    assert sized.label == "hoarder:memory=7"
    assert (sized.make().attic, sized.make().memory) == (MemorySize(bytes=1000), 7)


def test_a_method_keeps_its_own_epochs(budgets):
    assert budgets("ewc", equal_compute="ewc") == {"ewc": Budget(None, 6, 1.0)}


def test_replay_doubles_a_step_from_the_second_task_on(budgets):
    """Of three tasks: 1 + 2 + 2 times the operations of fine-tuning, so that 6 epochs become 3.6, and then 4."""
    found = budgets("er:memory=40", equal_compute="sgd")["er:memory=40"]
    assert found.epochs == 4
    assert found.compute_ratio == pytest.approx(4 * (5 / 3) / 6, rel=5e-3)


def test_what_is_done_once_a_task_is_no_epoch(budgets, tiny_network):
    """EWC passes each image once forward, to draw a label, and once both ways, for its Fisher information."""
    forward = inference_operations_per_image(tiny_network, 3, 8)
    step = training_operations_per_image(tiny_network, 3, 8)
    fisher = (forward + step) / step
    found = budgets("ewc", equal_compute="sgd")["ewc"]
    assert found.epochs == round(6 - fisher)
    assert found.compute_ratio == pytest.approx((found.epochs + fisher) / 6, rel=0.02)


def test_stages_keep_their_shares_of_the_epochs(budgets):
    """What is left over is at most an epoch, wherever a method's stages begin."""
    found = budgets("confit", epochs=20, equal_compute="sgd")["confit"]
    assert found.epochs > 20
    assert found.compute_ratio == pytest.approx(1, abs=1 / 20)


def test_there_is_at_least_one_epoch(budgets):
    found = budgets("joint", epochs=1, equal_compute="bn-only")["joint"]
    assert found.epochs == 1
    assert found.compute_ratio > 1.5


def test_features_that_are_computed_once_are_not_passed_over_for_ever(budgets):
    found = budgets("linear-probe", equal_compute="sgd")["linear-probe"]
    assert found.epochs == 6
    assert found.compute_ratio < 0.2
    assert budgets("linear-probe", equal_compute="sgd", augment=("flip", "crop"))["linear-probe"].epochs > 6


def test_without_gradient_steps_there_is_one_pass_and_no_more(budgets, stream, tiny_network):
    """40 images pass once through the backbone; sgd passes them forward and backward in each of 6 epochs."""
    found = budgets("ncm", "sgd", equal_compute="sgd")
    assert found["ncm"].epochs == 1
    backbone = 2 * 8 * 8 * (3 * 6 * 9 + 6 * 5)
    sgd = training_operations_per_image(tiny_network, 3, 8)
    assert found["ncm"].compute_ratio == pytest.approx((backbone + 2 * 3 * 5) / (6 * sgd))
    assert budgets("ncm", "er", equal_memory="clr")["ncm"] == Budget(None, 1, None)
    assert budgets("sgd", equal_compute="ncm")["sgd"].epochs == 1


def test_progress_counts_a_task_without_epochs_once(stream, tiny_network):
    labels = ("ncm", "sgd")
    settings = Settings(methods=labels, epochs=5)
    prepared = Prepared(settings, tuple(map(configure, labels)), stream, tiny_network, torch.device("cpu"))
    assert (prepared.epochs("ncm"), prepared.epochs("sgd")) == (1, 5)
    assert prepared.epochs_in_all([{"method": "ncm"}, {"method": "sgd"}]) == 3 * (1 + 5)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (("clr", "sgd"), "--equal-memory clr sizes replay memories, and none of --methods has one; add a method that"),
        (("er:memory=20", "clr"), "--equal-memory clr and 'er:memory=20' both say how large a memory is; leave out "),
    ],
)
def test_there_must_be_something_to_size(labels, says):
    with pytest.raises(UserError) as caught:
        check_budgets(Settings(methods=labels, equal_memory="clr"), tuple(map(configure, labels)))
    assert str(caught.value).startswith(says)
    check_budgets(Settings(methods=labels), tuple(map(configure, labels)))


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ("sgd", "--equal-memory sgd: beside heads and stored images, the state of sgd does not grow with the stream; "),
        ("er", "--equal-memory er: beside heads and stored images, the state of er does not grow with the stream; "),
        ("bpn", "--equal-memory bpn: bpn adds 132 bytes over this stream, less than one image of 8x8; name a method "),
        ("clr:penlty=1", "'clr:penlty=1' has no option 'penlty': did you mean 'penalty'?"),
    ],
)
def test_a_method_that_adds_too_little_is_refused(budgets, other, says):
    with pytest.raises(UserError) as caught:
        budgets("er", equal_memory=other)
    assert str(caught.value).startswith(says)


def test_a_run_keeps_its_budgets(stream, tiny_network, tmp_path, make_listener, quick_report, monkeypatch):
    monkeypatch.setattr("benchmark.learning.memory.gc.collect", lambda: 0)
    labels = ("er", "sgd")
    settings = Settings(methods=labels, epochs=5, batch_size=8, equal_memory="clr", equal_compute="sgd")
    chosen = tuple(map(configure, labels))
    budgets = fair_budgets(settings, chosen, stream, tiny_network)
    assert (budgets["er"].epochs, budgets["sgd"].epochs) == (3, 5)
    prepared = Prepared(
        settings, with_budgets(chosen, budgets), stream, tiny_network, torch.device("cpu"), budgets=budgets
    )
    assert prepared.epochs_in_all([{"method": "er"}, {"method": "sgd"}]) == 3 * (3 + 5)
    run(prepared, Execution(jobs=1), tmp_path / "run", [], make_listener())

    folder = RunFolder(tmp_path / "run")
    for label, budget in budgets.items():
        records = read_records(folder.cell(label, 0, 0))
        assert [len(record["losses"]) for record in records] == 3 * [budget.epochs]
    # As many whole samples as fit; a fresh network's operations are those that were expected.
    assert read_records(folder.cell("er", 0, 0))[-1]["bytes"]["replay"] == 3 * CLR_BYTES // SAMPLE * SAMPLE
    manifest = folder.read_manifest()
    assert manifest["budgets"] == {label: asdict(budget) for label, budget in budgets.items()}
    text = (tmp_path / "run" / "summary.md").read_text()
    assert text.count("A replay memory has as many bytes as clr adds over the whole stream. Each method trains") == 2
    assert f"| er | 1.18 kB | 3 | {budgets['er'].compute_ratio:.3f} |" in text
    assert "| sgd | – | 5 | 1.000 |" in text  # noqa: RUF001
    assert (tmp_path / "run" / "summary.tex").read_text().count("as many bytes as clr adds over the whole stream.") == 2


def test_workers_are_told_the_budgets(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmark.planning.preparation.fair_budgets", pytest.fail)
    settings = Settings(methods=("er",), tasks=1, train_images=40, test_images=20, equal_memory="clr")
    told = {"er": Budget(1000, 3, None)}
    plan = Plan(settings, (), Path.cwd(), tmp_path, [[1]], False, False, torch.get_num_threads(), budgets=told)
    prepared = plan.prepare()
    assert prepared.epochs("er") == 3
    assert prepared.methods[0].make().memory == MemorySize(bytes=1000)


def test_a_run_does_not_go_on_with_other_budgets():
    old: dict[str, Any] = {key: {"fingerprint": "", "spec": ""} for key in ("stream", "backbone")}
    old |= {"random_numbers": 2, "settings": {"equal_memory": "clr"}, "budgets": {"er": asdict(Budget(1000, 3, None))}}
    check_same(old, dict(old), "--name", "mine")
    new = old | {"budgets": {"er": asdict(Budget(2000, 3, None))}}
    with pytest.raises(UserError, match="--name mine: that run exists, but this version of the program gives its meth"):
        check_same(old, new, "--name", "mine")


def test_without_budgets_nothing_is_said_of_them(budgets):
    assert budgets("er", "sgd") == {}
    assert budgets_display(Manifest(budgets={}, settings={})) is None


def test_only_what_is_equal_is_shown():
    settings = {"equal_memory": "clr", "equal_compute": None, "epochs": 6}
    table = budgets_display(Manifest(settings=settings, budgets={"er": asdict(Budget(1500, 6, None))}))
    assert table.headers == ("Method", "Replay memory", "Epochs")
    assert table.caption == "A replay memory has as many bytes as clr adds over the whole stream."
