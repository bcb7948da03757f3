"""Learning cells whole or task by task: whatever the way, the run's folder ends up with the same files."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from baselines.linear_probe import LinearProbe
from benchmark.config import Execution, Settings
from benchmark.files import HOLDER
from benchmark.planning.preparation import Prepared
from benchmark.running.executors.cell_learner import CellLearner
from benchmark.running.executors.cells import Job
from benchmark.running.runner import run
from benchmark.storage.folder import RunFolder
from benchmark.storage.parallel_tasks import unite
from benchmark.storage.records import CellKey, read_records
from benchmark.streams.base import Stream, Task
from methods import methods
from methods.configured import configure
from methods.network import Network

ISOLATING = [name for name in methods.members("all") if configure(name).cls.isolates_tasks]
# Nothing that a task uses changes later, but it uses what an earlier one has left: weights, or the first one's network.
FOLLOWING = ("packnet", "ccll", "eft", "aper")
# On the backbone as given, the tasks of ccll need no first one.
INDEPENDENT = [*(name for name in ISOLATING if name not in FOLLOWING), "ccll:anchor=pretrained"]
# The tasks of tiny_tasks, by their numbers.
ORDERS = [[1, 2, 3], [3, 1, 2], [2, 3, 1]]


@pytest.fixture(autouse=True)
def _quick(quick_report: None, one_thread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    # Before each task, for its peak memory: it would take longer than all that is learned.
    monkeypatch.setattr("benchmark.learning.memory.gc.collect", lambda: 0)


@dataclass
class Bench:
    """Runs of methods on the tiny network and stream, in this process."""

    stream: Stream
    network: Network
    make_listener: Callable[[], Any]

    def prepared(self, *names: str, **settings: Any) -> Prepared:
        settings = Settings(methods=names, epochs=2, batch_size=8, **settings)
        return Prepared(settings, tuple(map(configure, names)), self.stream, self.network, torch.device("cpu"))

    def cells(self, folder: Path, *names: str, orders: Sequence[list[int]] = ([1, 2, 3],)) -> CellLearner:
        folder.mkdir(parents=True, exist_ok=True)
        # As a killed process leaves it: a run may go on here.
        (folder / HOLDER).touch()
        return CellLearner(self.prepared(*names), RunFolder(folder), list(orders), keep_states=False, verify=False)

    def run(self, folder: Path, *names: str, orders: int = 1, seeds: tuple[int, ...] = (0,), **options: Any) -> Any:
        """A run, new or going on, with one job at a time; what was heard of it."""
        heard = self.make_listener()
        execution = Execution(**{"jobs": 1, **options})
        run(self.prepared(*names, orders=orders, seeds=seeds), execution, folder, [], heard)
        return heard

    def learn_apart(self, folder: Path, name: str, orders: list[list[int]]) -> None:
        """Learn a method's cells, one for each order, none of which looks at the others."""
        cells = self.cells(folder, name, orders=orders)
        for order in range(len(orders)):
            cells.do(Job(f"{name}, order {order}", (name, 0, order)), self.make_listener())


@pytest.fixture
def bench(tiny_tasks: tuple[Task, ...], tiny_network: Network, make_listener: Callable) -> Bench:
    return Bench(Stream("tiny", tiny_tasks), tiny_network, make_listener)


def key_of(name: str) -> CellKey:
    return (name, 0, 0)


def alone(name: str, number: int) -> Job:
    return Job(f"{name}, seed 0, task {number}", key_of(name), number)


@pytest.mark.parametrize("name", INDEPENDENT)
def test_independent_tasks_give_the_same_files_in_any_order(
    bench: Bench, tmp_path: Path, name: str, states: Callable, exact: Callable
):
    assert bench.run(tmp_path / "sequence", name).cells == [(f"{name}, seed 0", 0)]
    cells = bench.cells(tmp_path / "parallel", name)
    assert cells.are_independent(name)
    for number in (3, 1, 2):
        cells.do(alone(name, number), bench.make_listener())
    assert bench.run(tmp_path / "parallel", name, parallel_tasks=True).tasks == []
    assert states(tmp_path / "parallel") == states(tmp_path / "sequence")
    assert exact(tmp_path / "parallel") == exact(tmp_path / "sequence")


@pytest.mark.parametrize("name", INDEPENDENT)
def test_an_independent_task_is_the_same_in_every_order(bench: Bench, tmp_path: Path, name: str):
    """Each order is learned by itself: the files and the accuracies of a task are the same, to the last bit."""
    bench.learn_apart(tmp_path, name, ORDERS)
    learned: dict[str, set[tuple[bytes, float]]] = {}
    for order, numbers in enumerate(ORDERS):
        cell = RunFolder(tmp_path).cell(name, 0, order)
        last = json.loads((cell / "after-3.json").read_bytes())
        for place, number in enumerate(numbers, 1):
            state = (cell / f"task-{place}.safetensors").read_bytes()
            assert last["evaluated"][place - 1]["task"] == place
            learned.setdefault(f"task-{number}", set()).add((state, last["evaluated"][place - 1]["accuracy"]))
    assert {task: len(different) for task, different in learned.items()} == dict.fromkeys(
        ("task-1", "task-2", "task-3"), 1
    )
    # Tasks differ from one another: what is compared is not empty.
    assert len(set.union(*learned.values())) == 3


def test_what_depends_on_the_tasks_before_differs_from_order_to_order(bench: Bench, tmp_path: Path):
    bench.learn_apart(tmp_path, "sgd", ORDERS[:2])
    first, other = (RunFolder(tmp_path).cell("sgd", 0, order) for order in (0, 1))
    assert (first / "task-1.safetensors").read_bytes() != (other / "task-2.safetensors").read_bytes()


@pytest.mark.parametrize("parallel", [True, False])
def test_independent_tasks_are_learned_once_for_all_orders(
    bench: Bench, tmp_path: Path, states: Callable, parallel: bool
):
    names, seeds = ("clr", "sgd"), (0, 7)
    heard = bench.run(tmp_path / "run", *names, orders=3, seeds=seeds, parallel_tasks=parallel)
    learned = Counter(name.partition(",")[0] for name, _ in heard.tasks)
    assert learned == {"clr": 3 * len(seeds), "sgd": 3 * len(seeds) * 3}
    manifest = RunFolder(tmp_path / "run").read_manifest()
    assert {cell["status"] for cell in manifest["cells"]} == {"succeeded"}

    bench.learn_apart(tmp_path / "apart", "clr", manifest["orders"])
    found = states(tmp_path / "run")
    assert {name: content for name, content in found.items() if name.startswith("cells/clr/seed-0")} == states(
        tmp_path / "apart"
    )


def test_every_order_has_the_operations_and_seconds_of_its_tasks(bench: Bench, tmp_path: Path):
    bench.run(tmp_path, "clr", orders=2)
    orders = RunFolder(tmp_path).read_manifest()["orders"]
    measured: dict[int, list[Any]] = {}
    for order, numbers in enumerate(orders):
        records = read_records(RunFolder(tmp_path).cell("clr", 0, order))
        assert [record["evaluations"] for record in records] == [1, 1, 1]
        for record, number in zip(records, numbers, strict=True):
            measured.setdefault(number, []).append((record["training_flops"], record["training_seconds"]))
    assert all(first == second and first[0] > 0 and first[1] > 0 for first, second in measured.values())


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize("lost", ["task-2.safetensors", "after-2.json", "the whole cell", "half of a task"])
def test_what_one_order_lost_it_takes_from_another(
    bench: Bench, tmp_path: Path, states: Callable, exact: Callable, parallel: bool, lost: str
):
    bench.run(tmp_path / "whole", "clr", orders=2)
    shutil.copytree(tmp_path / "whole", tmp_path / "lost")
    cell = RunFolder(tmp_path / "lost").cell("clr", 0, 1)
    if lost == "the whole cell":
        shutil.rmtree(cell)
    elif lost == "half of a task":
        file = cell / "task-3.safetensors"
        file.write_bytes(file.read_bytes()[:-9])
    else:
        (cell / lost).unlink()
    assert bench.run(tmp_path / "lost", "clr", orders=2, parallel_tasks=parallel).tasks == []
    assert states(tmp_path / "lost") == states(tmp_path / "whole")
    assert exact(tmp_path / "lost") == exact(tmp_path / "whole")


@pytest.mark.parametrize("parallel", [True, False])
def test_a_damaged_task_is_not_taken_over(bench: Bench, tmp_path: Path, states: Callable, parallel: bool):
    """The files of task 2 are damaged in both orders: it is learned again, and once."""
    bench.run(tmp_path / "whole", "clr", orders=2)
    shutil.copytree(tmp_path / "whole", tmp_path / "damaged")
    folder = RunFolder(tmp_path / "damaged")
    for order, numbers in enumerate(folder.read_manifest()["orders"]):
        file = folder.cell("clr", 0, order) / f"task-{numbers.index(2) + 1}.safetensors"
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    heard = bench.run(tmp_path / "damaged", "clr", orders=2, parallel_tasks=parallel)
    assert len(heard.tasks) >= 1
    assert len([name for name, _ in heard.tasks if "order 1" in name]) <= 1
    assert states(tmp_path / "damaged") == states(tmp_path / "whole")


def test_verified_orders_are_learned_each_by_itself(bench: Bench, tmp_path: Path, states: Callable):
    heard = bench.run(tmp_path / "trusting", "clr", orders=2, keep_states=True)
    assert len(heard.tasks) == 3
    heard = bench.run(tmp_path / "verifying", "clr", orders=2, keep_states=True, verify_evaluations=True)
    assert len(heard.tasks) == 6
    assert states(tmp_path / "verifying") == states(tmp_path / "trusting")


def test_a_task_that_fails_fails_in_every_order(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(cell: Any, state: Any, task: Task, *arguments: Any) -> Any:
        if task.name == "task-2":
            raise RuntimeError("out of luck")
        return learn(cell, state, task, *arguments)

    learn = sys.modules["benchmark.running.executors.cell_learner"].learn
    monkeypatch.setattr(sys.modules["benchmark.running.executors.cell_learner"], "learn", refuse)
    bench.run(tmp_path, "clr", orders=2, parallel_tasks=True)
    causes = [cell["cause"] for cell in RunFolder(tmp_path).read_manifest()["cells"]]
    assert causes == ["RuntimeError: out of luck", "RuntimeError: out of luck (clr, seed 0, order 0, task 2)"]
    monkeypatch.undo()
    assert len(bench.run(tmp_path, "clr", orders=2, parallel_tasks=True).tasks) == 1
    assert {cell["status"] for cell in RunFolder(tmp_path).read_manifest()["cells"]} == {"succeeded"}


@pytest.mark.parametrize("name", [*FOLLOWING, "sgd", "confit", "joint"])
def test_tasks_that_depend_on_each_other_are_learned_in_sequence(bench: Bench, tmp_path: Path, name: str):
    assert not bench.cells(tmp_path, name).are_independent(name)


def test_tasks_are_jobs_where_they_are_independent(bench: Bench, tmp_path: Path):
    heard = bench.run(tmp_path, "clr", "sgd", parallel_tasks=True)
    # The longest first.
    assert heard.cells == [("sgd, seed 0", 0), *((alone("clr", n).name, 0) for n in (1, 2, 3))]
    manifest = RunFolder(tmp_path).read_manifest()
    assert [cell["status"] for cell in manifest["cells"]] == ["succeeded", "succeeded"]


@pytest.mark.parametrize("parallel", [True, False])
def test_an_interrupted_parallel_run_goes_on(
    bench: Bench, tmp_path: Path, states: Callable, exact: Callable, parallel: bool
):
    """Tasks 1 and 3 had been learned, and task 2 was being written."""
    bench.run(tmp_path / "whole", "clr")
    folder = tmp_path / "interrupted"
    cells = bench.cells(folder, "clr")
    for number in (3, 1):
        cells.do(alone("clr", number), bench.make_listener())
    cell = RunFolder(folder).cell(*key_of("clr"))
    (cell / "task-2.safetensors").write_bytes((cell / "task-3.safetensors").read_bytes())

    heard = bench.run(folder, "clr", parallel_tasks=parallel)
    assert [number for _, number in heard.tasks] == [2], "what was learned is not learned again"
    assert states(folder) == states(tmp_path / "whole")
    assert exact(folder) == exact(tmp_path / "whole")


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize("damage", ["cut", "removed"])
def test_a_damaged_file_is_made_again(
    bench: Bench, tmp_path: Path, states: Callable, exact: Callable, parallel: bool, damage: str
):
    bench.run(tmp_path / "whole", "clr")
    shutil.copytree(tmp_path / "whole", tmp_path / "damaged")
    file = RunFolder(tmp_path / "damaged").cell(*key_of("clr")) / "task-2.safetensors"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-4])
    else:
        file.unlink()
    heard = bench.run(tmp_path / "damaged", "clr", parallel_tasks=parallel)
    assert [number for _, number in heard.tasks] == [2, 3]
    assert states(tmp_path / "damaged") == states(tmp_path / "whole")


@pytest.fixture
def no_new_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten afterwards."""
    monkeypatch.setattr(methods, "_entries", dict(methods._entries))


@pytest.mark.usefixtures("no_new_methods")
def test_a_method_that_keeps_something_for_the_next_task(
    bench: Bench, tmp_path: Path, states: Callable, exact: Callable
):
    @methods.register("counting")
    class Counting(LinearProbe):
        """Counts its tasks."""

        def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
            self.kept["tasks"] = self.kept.get("tasks", torch.zeros(())) + 1

    bench.run(tmp_path / "sequence", "counting", "clr", parallel_tasks=False)
    heard = bench.run(tmp_path / "parallel", "counting", "clr", parallel_tasks=True)
    assert heard.failures == []
    assert heard.warnings == [
        "counting says that it isolates its tasks, but keeps something for the next one: they are learned in sequence"
    ]
    # One task alone shows it.
    learned = Counter(name.partition(",")[0] for name, _ in heard.tasks)
    assert learned == {"counting": 1 + 3, "clr": 3}
    assert states(tmp_path / "parallel") == states(tmp_path / "sequence")
    assert exact(tmp_path / "parallel") == exact(tmp_path / "sequence")
    # What it keeps in one order is not that of another.
    for parallel in (False, True):
        folder = tmp_path / f"orders-{parallel}"
        heard = bench.run(folder, "counting", "clr", orders=2, parallel_tasks=parallel)
        learned = Counter(name.partition(",")[0] for name, _ in heard.tasks)
        assert learned == {"counting": 6 + parallel, "clr": 3}
    assert states(tmp_path / "orders-True") == states(tmp_path / "orders-False")


@pytest.mark.usefixtures("no_new_methods")
@pytest.mark.parametrize("first", [1, 2, 3])
@pytest.mark.parametrize("lost", [None, 1, 3])
def test_a_method_that_needs_what_some_task_has_kept(
    bench: Bench, tmp_path: Path, states: Callable, exact: Callable, first: int, lost: int | None
):
    """It keeps something from task `first` on, fails without it, and learns something else where it finds it."""

    @methods.register("needing")
    class Needing(LinearProbe):
        """Adds up what it has kept."""

        def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
            if self.task > first:
                strategy.trained[0].data.add_(self.kept["sum"])

        def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
            if self.task >= first:
                self.kept["sum"] = self.kept.get("sum", torch.zeros(())) + self.task

    sequence, parallel = tmp_path / "sequence", tmp_path / "parallel"
    bench.run(sequence, "needing", parallel_tasks=False)
    heard = bench.run(parallel, "needing", parallel_tasks=True)
    assert heard.failures == []
    if lost:
        # As far as it was learned in sequence, it goes on.
        (RunFolder(parallel).cell("needing", 0, 0) / f"after-{lost}.json").unlink()
        heard = bench.run(parallel, "needing", parallel_tasks=True)
        assert heard.failures == []
    assert states(parallel) == states(sequence)
    assert exact(parallel) == exact(sequence)
    assert {cell["status"] for cell in RunFolder(parallel).read_manifest()["cells"]} == {"succeeded"}


def test_a_task_that_was_learned_alone_is_not_put_behind_one_that_kept_something(bench: Bench, tmp_path: Path):
    cells = bench.cells(tmp_path, "clr")
    for number in (1, 2):
        cells.do(alone("clr", number), bench.make_listener())
    cell = RunFolder(tmp_path).cell(*key_of("clr"))
    record = json.loads((cell / "alone-1.json").read_text())
    kept = {**record, "checksums": {**record["checksums"], "memory-1": "of a file"}}
    (cell / "after-1.json").write_text(json.dumps(kept))
    assert not unite(cell)
    assert [path.name for path in sorted(cell.glob("*.json"))] == ["after-1.json"]


@pytest.mark.usefixtures("no_new_methods")
def test_a_method_that_cannot_begin_fails_alone(bench: Bench, tmp_path: Path):
    @methods.register("homeless")
    class Homeless(LinearProbe):
        """Does not say where tensors belong."""

        def part(self, module: Any, name: str) -> Any:
            raise LookupError("nowhere")

    heard = bench.run(tmp_path, "homeless", "clr", parallel_tasks=True)
    ((name, cause),) = heard.failures
    assert name == "homeless, seed 0"
    assert cause.startswith("LookupError: nowhere, in part (")


def test_verified_evaluations_change_nothing(bench: Bench, tmp_path: Path, states: Callable, exact: Callable):
    names = ("clr", "packnet", "sgd")
    bench.run(tmp_path / "trusting", *names)
    bench.run(tmp_path / "verifying", *names, verify_evaluations=True)
    assert states(tmp_path / "verifying") == states(tmp_path / "trusting")
    assert exact(tmp_path / "verifying") == exact(tmp_path / "trusting")


def test_a_changed_evaluation_is_found(bench: Bench, tmp_path: Path):
    bench.run(tmp_path, "clr")
    cell = RunFolder(tmp_path).cell(*key_of("clr"))
    (cell / "after-3.json").unlink()
    record = json.loads((cell / "after-2.json").read_bytes())
    spoilt = record["evaluated"][0]
    true, spoilt["accuracy"] = spoilt["accuracy"], 0.125
    (cell / "after-2.json").write_text(json.dumps(record))

    assert bench.run(tmp_path, "clr").failures == [], "what is known is trusted"
    (cell / "after-3.json").unlink()
    heard = bench.run(tmp_path, "clr", verify_evaluations=True)
    cause = (
        f"EvaluationChangedError: task 1 after 3 tasks gives {true}, and gave 0.125 before, "
        "although nothing that it depends on has changed"
    )
    assert heard.failures == [("clr, seed 0", cause)]
