"""A run that grows: the same bytes as a run of that size from the start, and nothing is learned twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import benchmark
from benchmark.checks.tiny import make_task
from benchmark.cli.main import main
from benchmark.config import Execution, Settings
from benchmark.files import folder_name
from benchmark.planning.budgets import Budget
from benchmark.planning.preparation import Prepared
from benchmark.running.executors import cell_learner
from benchmark.running.runner import run
from benchmark.storage.manifest import Manifest
from benchmark.storage.processes import learning_processes
from benchmark.streams.base import Stream, Task
from methods import methods as registered
from methods.configured import configure
from methods.errors import UserError
from methods.network import Network

#: One of each kind: own tensors, own tensors that go on from earlier tasks, shared ones with a memory, none at all.
METHODS = {
    "task": (
        *("packnet", "psp", "hat", "lwf", "er:memory=9", "cls-er:memory=9"),
        *("clr", "ewc", "joint", "ncm", "slda", "ranpac:width=9"),
    ),
    "class": ("ewc:storage=summed", "er:memory=9", "icarl", "ncm", "clr"),
    "domain": ("derpp:memory=9", "sgd-ll", "slda", "clr"),
}
WIDTHS = {"task": (3, 2, 4, 2), "class": (3, 2, 4, 2), "domain": (3, 3, 3, 3)}


def tiny(scenario: str = "task", tasks: int = 4) -> tuple[Task, ...]:
    return tuple(make_task(number, width, train=20) for number, width in enumerate(WIDTHS[scenario], 1))[:tasks]


@pytest.fixture
def go(
    tiny_network: Network, make_listener: Callable, monkeypatch: pytest.MonkeyPatch, quick_report: None
) -> Callable[..., Any]:
    """go(folder, tasks=2, methods=("clr",), seeds=(0, 1)) -> what was heard of a run on the tiny network."""
    monkeypatch.setattr("benchmark.learning.memory.gc.collect", lambda: 0)

    def start(folder: Path, tasks: int | tuple[Task, ...] = 2, **options: Any) -> Any:
        execution = {name: options.pop(name) for name in ("keep_states", "parallel_tasks") if name in options}
        budgets = options.pop("budgets", {})
        settings = Settings(**{"methods": ("clr", "er:memory=9"), "epochs": 1, "batch_size": 8, **options})
        given = tiny(settings.scenario, tasks) if isinstance(tasks, int) else tasks
        settings = replace(settings, tasks=len(given))
        chosen = tuple(configure(text) for text in settings.methods)
        device, listener = torch.device("cpu"), make_listener()
        prepared = Prepared(settings, chosen, Stream("tiny", given), tiny_network, device, budgets)
        run(prepared, Execution(jobs=1, **execution), folder, ["run", str(len(given))], listener)
        return listener

    return start


@pytest.fixture
def same(states: Callable[..., Any], exact: Callable[..., Any]) -> Callable[[Path, Path], None]:
    """same(one, other) fails unless two runs have the same files, apart from what they measured in seconds and RAM."""

    def compare(one: Path, other: Path) -> None:
        assert states(one) == states(other)
        assert exact(one) == exact(other)
        of_rules = [path.relative_to(one) for path in one.glob("task-inference/*/*.safetensors")]
        for name in (*of_rules, Path("config.toml")):
            assert (one / name).read_bytes() == (other / name).read_bytes(), name
        names = ({path.relative_to(each) for path in each.rglob("*")} for each in (one, other))
        assert next(names) == next(names)

    return compare


def manifest(folder: Path) -> Manifest:
    return Manifest(json.loads((folder / "manifest.json").read_text()))


def learned_files(folder: Path) -> dict[str, bytes]:
    """The bytes of all that the cells of a run have, seconds included, but for heads that later tasks train."""
    files = [path for path in (folder / "cells").rglob("*") if path.is_file()]
    trained = {folder_name(label) for label in manifest(folder).labels if configure(label).cls.trains_old_heads}
    return {
        str(path): path.read_bytes()
        for path in files
        if not (path.name.startswith("task-") and path.parent.parent.name in trained)
    }


def changed(before: dict[str, bytes]) -> list[str]:
    """The files that are not any more what they were."""
    return [path for path, content in before.items() if Path(path).read_bytes() != content]


@pytest.mark.parametrize(
    ("scenario", "infer"),
    [("task", ()), ("task", ("max-softmax", "gmm", "mahalanobis")), ("class", ()), ("domain", ())],
)
def test_by_tasks(scenario: str, infer: tuple[str, ...], go: Callable, same: Callable, tmp_path: Path) -> None:
    names = METHODS[scenario][-6:] if infer else METHODS[scenario]
    chosen = {"methods": names, "scenario": scenario, "infer": infer, "keep_states": True}
    go(tmp_path / "grown", 2, **chosen)
    before = learned_files(tmp_path / "grown")
    heard = go(tmp_path / "grown", 3, **chosen)
    assert [task for _, task in heard.tasks] == [3] * len(names)
    assert changed(before) == []
    go(tmp_path / "whole", 3, **chosen)
    same(tmp_path / "grown", tmp_path / "whole")

    found = manifest(tmp_path / "grown")
    assert found["command"] == ["run", "3"]
    assert found.settings == manifest(tmp_path / "whole").settings
    assert found.tasks == manifest(tmp_path / "whole").tasks
    first, second = found["processes"]
    assert "grown" not in first
    assert second["grown"] == {"tasks": ["task-3"]}
    assert second["started"] >= first["started"]


def test_by_tasks_that_are_learned_apart(go: Callable, same: Callable, tmp_path: Path) -> None:
    chosen = {"methods": ("clr",), "parallel_tasks": True}
    go(tmp_path / "grown", 2, **chosen)
    heard = go(tmp_path / "grown", 4, **chosen)
    assert heard.tasks == [("clr, seed 0, task 3", 3), ("clr, seed 0, task 4", 4)]
    go(tmp_path / "whole", 4, **chosen)
    same(tmp_path / "grown", tmp_path / "whole")


@pytest.mark.parametrize(
    ("less", "more", "gained"),
    [
        ({"methods": ("clr",)}, {"methods": ("clr", "sgd", "er")}, {"methods": ["sgd", "er"]}),
        ({"methods": ("clr",)}, {"methods": ("sgd", "clr")}, {"methods": ["sgd"]}),
        ({"seeds": (3,)}, {"seeds": (0, 3, 5)}, {"seeds": [0, 5]}),
        ({"orders": 1}, {"orders": 2}, {"orders": [1]}),
        # Each seed in an order of its own, and then each in each.
        ({"seeds": (0, 1), "orders": 2}, {"seeds": (0, 1, 2), "orders": 2}, {"seeds": [2]}),
        (
            {"seeds": (0, 1), "orders": 2, "tasks": 3},
            {"seeds": (0, 1, 2), "orders": 3, "tasks": 3},
            {"seeds": [2], "orders": [2]},
        ),
        (
            {"tasks": 1, "methods": ("clr",)},
            {"tasks": 3, "methods": ("clr", "ewc"), "seeds": (0, 1), "orders": 3},
            {"tasks": ["task-2", "task-3"], "methods": ["ewc"], "seeds": [1], "orders": [1, 2]},
        ),
    ],
)
def test_by_more_of_the_rest(less: Any, more: Any, gained: Any, go: Callable, same: Callable, tmp_path: Path) -> None:
    go(tmp_path / "grown", **less)
    before = learned_files(tmp_path / "grown")
    left = len(manifest(tmp_path / "grown").cells) * less.get("tasks", 2)
    heard = go(tmp_path / "grown", **more)
    before = {path: content for path, content in before.items() if "shared-" not in path and "memory-" not in path}
    assert changed(before) == []
    listener = go(tmp_path / "whole", **more)
    assert len(heard.tasks) <= len(listener.tasks) - left
    found, whole = manifest(tmp_path / "grown"), manifest(tmp_path / "whole")
    if found.reference == whole.reference:
        same(tmp_path / "grown", tmp_path / "whole")
    else:
        assert found.reference == "clr", "as it was"
    assert found["processes"][1]["grown"] == gained
    for key in ("cells", "seeds", "orders", "settings", "learned_as", "bounds", "stream"):
        assert found[key] == whole[key]


@pytest.mark.parametrize(("dies", "dies_later"), [(2, None), (3, 2), (None, 1)])
def test_a_run_that_was_killed_grows_and_is_killed_again(
    dies: int | None,
    dies_later: int | None,
    go: Callable,
    same: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def until(number: int | None, tasks: int) -> None:
        saved = []

        def save(*arguments: Any) -> None:
            saved.append(arguments)
            if len(saved) == number:
                raise KeyboardInterrupt
            real(*arguments)

        with monkeypatch.context() as patched:
            patched.setattr(cell_learner, "save", save)
            if number is None:
                go(tmp_path / "grown", tasks)
                return
            with pytest.raises(KeyboardInterrupt):
                go(tmp_path / "grown", tasks)

    real = cell_learner.save
    until(dies, 2)
    until(dies_later, 3)
    go(tmp_path / "grown", 3)
    go(tmp_path / "whole", 3)
    same(tmp_path / "grown", tmp_path / "whole")
    gained = [process.get("grown") for process in manifest(tmp_path / "grown")["processes"]]
    assert gained == [None, {"tasks": ["task-3"]}, None]


def test_a_run_that_is_killed_between_its_files_grows_all_the_same(
    go: Callable, same: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its options are written after its manifest, and are those of the new size, whoever writes them."""

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    go(tmp_path / "grown", 1)
    with monkeypatch.context() as patched:
        patched.setattr("benchmark.running.runner.write_config", killed)
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path / "grown", 2)
    go(tmp_path / "grown", 2)
    go(tmp_path / "whole", 2)
    same(tmp_path / "grown", tmp_path / "whole")


def test_a_cell_that_failed_is_tried_again(
    go: Callable, same: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlucky(cell: Any, state: Any, *arguments: Any) -> Any:
        if state.learned == 1 and cell.make_method().name == "er":
            raise RuntimeError("out of luck")
        return learn(cell, state, *arguments)

    learn = cell_learner.learn
    with monkeypatch.context() as patched:
        patched.setattr(cell_learner, "learn", unlucky)
        go(tmp_path / "grown", 2)
    assert manifest(tmp_path / "grown").statuses == {"clr": "succeeded", "er:memory=9": "failed"}
    heard = go(tmp_path / "grown", 3)
    assert heard.tasks == [("clr, seed 0", 3), ("er:memory=9, seed 0", 2), ("er:memory=9, seed 0", 3)]
    go(tmp_path / "whole", 3)
    same(tmp_path / "grown", tmp_path / "whole")


def test_seconds_of_other_machines_are_told_of_by_who_learned(go: Callable, tmp_path: Path) -> None:
    """Also where as many tasks are left to a process as to the one before it, because the run has grown."""
    go(tmp_path, 1, methods=("ncm",))
    go(tmp_path, 2, methods=("ncm",))
    go(tmp_path, 2, methods=("ncm",))
    go(tmp_path, 2, methods=("ncm", "slda"))
    found = manifest(tmp_path)
    assert [(entry["tasks_left"], entry.get("tasks_added")) for entry in found["processes"]] == [
        *((1, None), (1, 1), (0, None), (2, 2)),
    ]
    assert learning_processes(found) == [found["processes"][k] for k in (0, 1, 3)]


def renamed(tasks: tuple[Task, ...], number: int) -> tuple[Task, ...]:
    return (*tasks[: number - 1], replace(tasks[number - 1], name="new"), *tasks[number:])


FIRST, SECOND, THIRD, FOURTH = tiny()
OTHER = replace(SECOND, train=replace(SECOND.train, images=255 - SECOND.train.images))


@pytest.mark.parametrize(
    ("less", "more", "says"),
    [
        (
            {"tasks": 2},
            {"tasks": (FIRST, THIRD, SECOND)},
            "a run grows only by tasks behind its own, and its task 2 is 'task-2', not 'task-3'; put new tasks at the "
            "end, or give another --name",
        ),
        (
            {"tasks": 2},
            {"tasks": renamed((FIRST, SECOND, THIRD), 1)},
            "a run grows only by tasks behind its own, and its task 1 is 'task-1', not 'new'; put new tasks at the "
            "end, or give another --name",
        ),
        (
            {"tasks": 2},
            {"tasks": (FIRST, OTHER, THIRD)},
            "a run grows only if its own tasks are as they were, and the images or classes of 'task-2' have changed; "
            "restore them, or give another --name",
        ),
        ({"tasks": 3}, {"tasks": 2}, "that run exists with --tasks 3, not 2; give the same settings to resume it"),
        ({}, {"methods": ("clr",)}, "that run exists with --methods clr,er:memory=9, not clr; give the same"),
        (
            {},
            {"methods": ("er:memory=9", "clr")},
            "that run exists with --methods clr,er:memory=9, not er:memory=9,clr",
        ),
        (
            {},
            {"methods": ("clr", "er:memory=8", "sgd")},
            "that run exists with --methods clr,er:memory=9, not clr,er:m",
        ),
        ({"seeds": (0, 1)}, {"seeds": (1, 2, 3)}, "that run exists with --seeds 0,1, not 1,2,3; give the same"),
        ({"tasks": 2}, {"epochs": 2}, "that run exists with --epochs 1, not 2; give the same settings to resume it"),
        ({"orders": 2}, {"orders": 1}, "that run exists with --orders 2, not 1; give the same settings"),
        (
            {"seeds": (0, 1)},
            {"seeds": (0, 1), "orders": 2},
            "with as many --orders as --seeds each seed has an order of its own, so that seed 1 in order 0, which that "
            "run has, would not be in it; give other numbers of them, or another --name",
        ),
        # Order 1 of two tasks is 2, 1.
        (
            {"tasks": 2, "orders": 2},
            {"tasks": 4, "orders": 2},
            "random orders are drawn for the whole stream, and order 1 of the longer one begins with the tasks 4, 3, "
            "not 2, 1; give another --name",
        ),
        (
            {"tasks": 2, "methods": ("sgd", "sgd-ll")},
            {"tasks": 3, "methods": ("sgd", "sgd-ll")},
            "'sgd-ll' learns every task with a head for 4 classes in this stream, and did with one for 3, so that its "
            "first tasks would be learned otherwise; give another --name",
        ),
        (
            {"tasks": 2, "scenario": "class", "methods": ("sgd:logits=all",)},
            {"tasks": 3, "scenario": "class", "methods": ("sgd:logits=all",)},
            "'sgd:logits=all' learns every task with a head for 9 classes in this stream, and did with one for 5, so",
        ),
        (
            {"scenario": "class", "methods": ("er",)},
            {"scenario": "class", "methods": ("er", "clr"), "infer": ("max-softmax",)},
            "the methods that are new need --infer max-softmax, and that run has answered with --infer (none) after "
            "each task; give another --name",
        ),
        (
            {"tasks": 2, "equal_memory": "clr", "budgets": {"er": Budget(900, 1, None), "clr": Budget(None, 1, None)}},
            {"tasks": 3, "equal_memory": "clr", "budgets": {"er": Budget(1200, 1, None), "clr": Budget(None, 1, None)}},
            "--equal-memory and --equal-compute weigh 'er' over the whole stream, and give it a memory of 1,200 bytes "
            "and 1 epoch in the longer one, not a memory of 900 bytes and 1 epoch; give another --name",
        ),
    ],
)
def test_what_would_be_another_run_is_refused(
    less: Any, more: Any, says: str, go: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every cell fails at once: nothing need be learned for this.
    monkeypatch.setattr(cell_learner, "learn", None)
    if "equal_memory" in less:
        less, more = ({**each, "methods": ("clr", "er")} for each in (less, more))
    go(tmp_path / "mine", **less)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UserError) as caught:
        go(tmp_path / "mine", **more)
    assert str(caught.value).startswith(f"--name mine: {says}")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("less", "more"),
    [
        # Its classes are no more than those of the tasks before.
        ({"tasks": 3, "methods": ("sgd-ll",)}, {"tasks": 4, "methods": ("sgd-ll",)}),
        # An order that begins as the old one: of one task there is no other.
        ({"tasks": 1}, {"tasks": 2, "orders": 2}),
        # The same epochs and memory, however the costs compare.
        (
            {"tasks": 2, "equal_compute": "clr", "budgets": {"sgd": Budget(None, 2, 0.9)}, "methods": ("sgd",)},
            {"tasks": 3, "equal_compute": "clr", "budgets": {"sgd": Budget(None, 2, 1.1)}, "methods": ("sgd",)},
        ),
    ],
)
def test_what_is_the_same_run_after_all(less: Any, more: Any, go: Callable, same: Callable, tmp_path: Path) -> None:
    go(tmp_path / "grown", **less)
    go(tmp_path / "grown", **more)
    go(tmp_path / "whole", **more)
    same(tmp_path / "grown", tmp_path / "whole")
    assert manifest(tmp_path / "grown").budgets == manifest(tmp_path / "whole").budgets


PLUGIN = """
from baselines.linear_probe import LinearProbe
from methods import methods


@methods.register("mine")
class Mine(LinearProbe):
    '''A linear probe.'''
"""


@pytest.mark.usefixtures("quick_report", "one_thread")
def test_from_the_command_line_a_file_and_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registered, "_entries", dict(registered._entries))
    Path("mine.py").write_text(PLUGIN)
    least = {"train_images": 20, "test_images": 10, "epochs": 1, "jobs": 1}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in least.items()]
    assert main(["run", "--methods", "linear-probe", "--tasks", "1", "--name", "grown", *options]) == 0
    assert main(["run", "--methods", "linear-probe", "--tasks", "2", "--name", "grown", *options]) == 0
    of_run = ["run", "--config", "results/grown/config.toml", "--name", "grown"]
    assert main([*of_run, "--methods", "linear-probe,mine", "--plugin", "mine.py"]) == 0
    benchmark.run(["linear-probe", "mine"], "mini", tasks=2, seeds=2, plugin=["mine.py"], name="grown", **least)
    benchmark.run(["linear-probe", "mine"], "mini", tasks=2, seeds=2, plugin=["mine.py"], name="whole", **least)
    same(Path("results/grown"), Path("results/whole"))
    found = manifest(Path("results/grown"))
    assert [entry["file"] for entry in found["plugins"]] == ["mine.py"]
    assert [process.get("grown") for process in found["processes"]] == [
        *(None, {"tasks": ["shapes"]}, {"methods": ["mine"]}, {"seeds": [1]}),
    ]
    capsys.readouterr()
    assert main([*of_run, "--seeds", "1"]) == 2
    assert "error: --name grown: that run exists with --seeds 0,1, not 0; give the same" in capsys.readouterr().err


@pytest.mark.usefixtures("quick_report", "one_thread")
def test_by_a_folder_that_has_one_task_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Next month's task: the same command, and a new folder."""
    from PIL import Image

    def add(name: str) -> None:
        for label, shade in (("dark", 20), ("light", 220)):
            for split in ("train", "test"):
                place = tmp_path / "mine" / name / split / label
                place.mkdir(parents=True)
                for number in range(4):
                    Image.new("L", (16, 16), shade + number + len(name)).save(place / f"{number}.png")

    monkeypatch.chdir(tmp_path)
    options = "--stream folder:mine --image-size 32 --epochs 1 --jobs 1 --methods linear-probe --name grown"
    for month in ("01-january", "02-february"):
        add(month)
    assert main(["run", *options.split()]) == 0
    before = learned_files(tmp_path / "results" / "grown")
    add("03-march")
    assert main(["run", *options.split()]) == 0
    found = manifest(tmp_path / "results" / "grown")
    assert [task["task_name"] for task in found.tasks] == ["01-january", "02-february", "03-march"]
    assert changed(before) == []
    add("02-and-a-half")
    capsys.readouterr()
    assert main(["run", *options.split()]) == 2
    assert "and its task 2 is '02-february', not '02-and-a-half'; put new tasks at" in capsys.readouterr().err
