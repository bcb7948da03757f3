"""What a cell answers without knowing the task, and what that takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.config import Settings
from benchmark.images.labelled import LabelledImages
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.panel import Given, Panel
from benchmark.learning.training import Training
from benchmark.planning.preparation import Prepared
from benchmark.progress.events import ignore
from benchmark.running.executors.cell_learner import CellLearner
from benchmark.running.executors.cells import Job
from benchmark.storage.folder import RunFolder
from benchmark.storage.inferred import inferred_path, read_inferred
from benchmark.storage.parallel_tasks import look
from benchmark.storage.records import read_records
from benchmark.storage.state import State
from benchmark.streams.base import Stream, Task
from benchmark.streams.columns import in_columns
from methods import Network
from methods.configured import configure
from methods.scenarios import Scenario

CPU = torch.device("cpu")
RULES = ("max-softmax", "energy")
FIRSTS = (0, 3, 5)
Run = Callable[..., Path]


@pytest.fixture
def run(tiny_network: Network, tiny_tasks: tuple[Task, ...], tmp_path: Path) -> Run:
    """run(spec, ...) -> the folder of a cell of three tasks; a second call goes on with what is there."""

    def do(
        spec: str,
        scenario: Scenario = "task",
        rules: tuple[str, ...] = RULES,
        parts: tuple[int | None, ...] = (None,),
        name: str = "run",
        order: tuple[int, ...] = (1, 2, 3),
    ) -> Path:
        method = configure(spec)
        settings = Settings(methods=(spec,), epochs=1, batch_size=8, scenario=scenario, infer=rules)
        prepared = Prepared(settings, (method,), Stream("tiny", tiny_tasks), tiny_network, CPU)
        folder, key = RunFolder(tmp_path / name), (spec, 0, 0)
        (tmp_path / name).mkdir(exist_ok=True)
        for part in parts:
            cells = CellLearner(prepared, folder, [list(order)], keep_states=False, verify=False)
            cells.do(Job(spec, key, part), ignore)
        return folder.cell(*key)

    return do


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """For each time that a network is asked, about how many test images."""
    found: list[int] = []
    real = Panel.ask

    def note(panel: Panel, state: State, task: int, images: LabelledImages, *together: Sequence[int]) -> Given:
        found.append(len(images))
        return real(panel, state, task, images, *together)

    monkeypatch.setattr(Panel, "ask", note)
    return found


def states(cell: Cell, tasks: tuple[Task, ...]) -> Iterator[State]:
    state = start(cell)
    for task in tasks:
        state = learn(cell, state, task, Training(cell.make_method().recipe, epochs=1, batch_size=8)).state
        yield state


@torch.no_grad()
def by_hand(cell: Cell, state: State, task: Task, rule: str) -> list[int]:
    """Answers to a task's test images, one by one, each from new networks: columns among all classes."""
    widths, found = (3, 2, 4)[: state.learned], []
    networks = [network_for(cell, state, k, width) for k, width in enumerate(widths, 1)]
    for image in task.test.images:
        if cell.scenario == "class":
            logits = networks[0](image[None])[0]
            parts = [logits[first : first + width] for first, width in zip(FIRSTS, widths, strict=False)]
        else:
            parts = [network(image[None])[0] for network in networks]
        sure = [float(z.softmax(0).max() if rule == "max-softmax" else z.exp().sum().log()) for z in parts]
        guess = max(range(len(parts)), key=sure.__getitem__)
        found.append(FIRSTS[guess] + int(parts[guess].argmax()))
    return found


@pytest.mark.parametrize(
    ("spec", "scenario"),
    [("clr", "task"), ("sgd", "task"), ("hat", "task"), ("er:memory=9", "class"), ("clr", "class"), ("psp", "class")],
)
def test_the_answers_are_those_of_the_surest_network(
    run: Run, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], spec: str, scenario: Scenario
) -> None:
    folder = run(spec, scenario)
    learned_as: Scenario = scenario if spec.startswith("er") else "task"
    stream = in_columns(Stream("tiny", tiny_tasks), learned_as)
    cell = replace(make_cell(spec), scenario=learned_as, widths=stream.widths, tasks=stream.names)
    for state in states(cell, stream.tasks):
        inferred = read_inferred(folder, state.learned)
        assert inferred is not None
        assert set(inferred.answers) == {(task, rule) for task in range(1, state.learned + 1) for rule in RULES}
        for (task, rule), answers in inferred.answers.items():
            assert answers.classes.tolist() == by_hand(cell, state, stream.tasks[task - 1], rule)


@pytest.mark.parametrize("spec", ["clr", "bn-only", "packnet"])
def test_isolated_tasks_take_a_pass_for_each_network_and_task(run: Run, passes: list[int], spec: str) -> None:
    folder = run(spec)
    assert len(passes) == 3**2
    counted = [read_inferred(folder, learned) for learned in (1, 2, 3)]
    assert [each and each.evaluations for each in counted] == [0, 2, 4], "the others are evaluations of the run"


@pytest.mark.parametrize("spec", ["hat", "psp", "psp:bn=shared", "linear-probe", "sgd", "sgd-ll", "ewc:bn=per-task"])
def test_the_passes_are_counted(run: Run, passes: list[int], spec: str) -> None:
    folder = run(spec)
    counted = [read_inferred(folder, learned) for learned in (1, 2, 3)]
    own = sum(record["evaluations"] for record in read_records(folder))
    assert len(passes) == own + sum(each.evaluations for each in counted if each)


@pytest.mark.parametrize("spec", ["clr", "psp", "ewc:bn=per-task", "single-task"])
def test_rules_on_features_ask_a_network_only_about_images_of_the_task_that_they_guess(
    run: Run, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], passes: list[int], spec: str
) -> None:
    rules = ("centres", "mahalanobis")
    folder, sizes = run(spec, rules=rules), [len(task.test) for task in tiny_tasks]
    own = sum(sizes[entry["task"] - 1] for record in read_records(folder) for entry in fresh(record))
    expected = own
    cell = replace(make_cell(spec), scenario="task", widths=(3, 2, 4), tasks=tuple(task.name for task in tiny_tasks))
    for state in states(cell, tiny_tasks):
        inferred = read_inferred(folder, state.learned)
        assert inferred is not None
        networks = [network_for(cell, state, k, width) for k, width in enumerate((3, 2, 4)[: state.learned], 1)]
        strays = {}
        for place, task in enumerate(tiny_tasks[: state.learned], 1):
            guessed = {rule: np.digitize(inferred.answers[place, rule].classes, FIRSTS) for rule in rules}
            for rule, answers in guessed.items():
                with torch.no_grad():
                    given = [
                        FIRSTS[k - 1] + int(networks[k - 1](image[None])[0].argmax())
                        for k, image in zip(answers, task.test.images, strict=True)
                    ]
                assert inferred.answers[place, rule].classes.tolist() == given
            strays[place] = sum(
                len(set(both) - {place}) for both in zip(*(guess.tolist() for guess in guessed.values()), strict=True)
            )
        assert inferred.evaluations == pytest.approx(sum(count / sizes[k - 1] for k, count in strays.items()))
        expected += sum(strays.values())
    assert sum(passes) == expected > own, "some images are taken for those of another task"


def fresh(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those of a record's tasks whose test images were asked after its own task."""
    here = f"answers-{record['learned']}/"
    return [entry for entry in record["evaluated"] if entry["answers"]["task"].startswith(here)]


def test_networks_with_the_same_features_take_the_passes_of_the_evaluations(run: Run, passes: list[int]) -> None:
    run("sgd")
    assert len(passes) == 1 + 2 + 3
    passes.clear()
    run("sgd", rules=(), name="without rules")
    assert len(passes) == 1 + 2 + 3


@pytest.mark.parametrize("spec", ["clr", "sgd", "er:memory=9"])
def test_own_answers_do_not_depend_on_the_rules(run: Run, spec: str) -> None:
    """Nor do states; how sure networks are is kept beside the answers."""
    one, other = run(spec), run(spec, rules=(), name="without rules")
    parts = [path.name for path in sorted(other.glob("*.safetensors")) if not path.name.startswith("answers")]
    assert parts
    assert all((one / name).read_bytes() == (other / name).read_bytes() for name in parts)
    assert not list(other.glob("inferred-*"))


@pytest.mark.parametrize(("spec", "scenario"), [("clr", "task"), ("sgd", "task"), ("er:memory=9", "class")])
@pytest.mark.parametrize("rules", [RULES, ("centres",), ("centres", "mahalanobis"), (*RULES, "mahalanobis")])
def test_what_is_missing_is_made_again(run: Run, spec: str, scenario: Scenario, rules: tuple[str, ...]) -> None:
    """As after a kill between the state of a task and its answers."""
    folder = run(spec, scenario, rules)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    inferred_path(folder, 3).unlink()
    if spec == "clr":
        # Its networks of earlier tasks still exist.
        inferred_path(folder, 1).write_bytes(b"damaged")
    run(spec, scenario, rules)
    assert {name: (folder / name).read_bytes() for name in whole} == whole


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"damaged")])
def test_what_no_network_can_answer_again_is_learned_again(run: Run, damage: Callable[[Path], object]) -> None:
    """The network after the second task is gone: as with damaged answers, the cell goes back to a state before."""
    folder = run("sgd", "class")
    answers = {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}
    damage(inferred_path(folder, 2))
    assert look(folder, RULES).damaged == (inferred_path(folder, 2),)
    assert look(folder).damaged == (), "without rules the file has no meaning"
    run("sgd", "class")
    assert {path.name: path.read_bytes() for path in folder.glob("*.safetensors")} == answers
    assert look(folder, RULES).damaged == ()


def test_tasks_that_were_learned_alone_are_asked_when_all_of_them_exist(run: Run) -> None:
    whole = run("clr")
    apart = run("clr", parts=(2, 3, 1), name="apart")
    assert not list(apart.glob("inferred-*"))
    run("clr", name="apart")
    for learned in (1, 2, 3):
        one, other = (inferred_path(folder, learned).read_bytes() for folder in (whole, apart))
        assert one == other


def test_the_place_of_a_task_counts_and_not_its_number(run: Run, tiny_tasks: tuple[Task, ...]) -> None:
    """What is asked of three networks is the same in another order: only the columns move."""
    one, other = run("clr"), run("clr", name="reordered", order=(3, 1, 2))
    first, second = read_inferred(one, 3), read_inferred(other, 3)
    assert first is not None
    assert second is not None
    moved = np.concatenate([np.arange(4, 7), np.arange(7, 9), np.arange(0, 4)])
    for place, task in enumerate((3, 1, 2), 1):
        for rule in RULES:
            expected = moved[first.answers[task, rule].classes]
            assert second.answers[place, rule].classes.tolist() == expected.tolist()


def test_no_task_is_guessed_where_none_is_needed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run("sgd", "domain")
    assert not list(folder.glob("inferred-*"))
