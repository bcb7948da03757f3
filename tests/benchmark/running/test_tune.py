"""The tuner: what it tries, on what it decides, and what it leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch

from benchmark.cli.main import main
from benchmark.config import LARGEST_SEED, Settings
from benchmark.files import StorageError
from benchmark.images.labelled import LabelledImages
from benchmark.images.source import ArrayImages
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.strategy import DivergedError
from benchmark.learning.training import Training
from benchmark.progress.events import CellBegan, CellEnded, CellFailed, EpochDone, Event
from benchmark.running.runner import Prepared
from benchmark.streams import build
from benchmark.streams.base import Stream, Task
from benchmark.streams.source import RawTask, StreamSource
from methods import methods
from methods.configured import configure
from methods.errors import UserError
from methods.method import Method
from methods.network import Network
from methods.recipe import Range
from methods.scenarios import Scenario

pytest.importorskip("optuna", reason='the tuner needs Optuna: pip install ".[tune]"')

from benchmark.running import tune
from benchmark.running.tune import Tuning, specification


class Listener:
    """Hears what the tuner says, and prints nothing."""

    def __init__(self) -> None:
        self.tried: list[str] = []
        self.failures: list[tuple[str, str]] = []
        self.epochs = 0
        self.open: list[str] = []

    def __call__(self, event: Event) -> None:
        match event:
            case CellBegan(name):
                self.tried.append(name)
                self.open.append(name)
            case EpochDone():
                self.epochs += 1
            case CellEnded(name):
                self.open.remove(name)
            case CellFailed(name, cause):
                self.failures.append((name, cause))


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Methods that a test registers are forgotten afterwards."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(methods, "_entries", dict(methods._entries))
        yield


@pytest.fixture
def tuning(tiny_tasks: tuple[Task, ...], tiny_network: Network, tmp_path: Path) -> Callable[..., Tuning]:
    """tuning("sgd", budget=3): a search on two tiny tasks; its file is tuned.json."""

    def make(
        *labels: str,
        budget: int = 3,
        epochs: int = 2,
        file: str = "tuned.json",
        scenario: Scenario = "task",
        seeds: tuple[int, ...] = (100,),
    ) -> Tuning:
        settings = Settings(
            methods=labels, tasks=2, epochs=epochs, batch_size=8, seeds=seeds, device="cpu", scenario=scenario
        )
        prepared = Prepared(
            settings,
            tuple(configure(label) for label in labels),
            Stream("tiny", tiny_tasks[:2]),
            tiny_network,
            torch.device("cpu"),
        )
        return Tuning(prepared, budget, tmp_path / file)

    return make


def search(tuning: Tuning, label: str) -> list[dict[str, Any]]:
    return tuning.run(Listener())[label]["trials"]


def test_the_defaults_are_tried_first_and_the_best_is_never_worse(tuning):
    found = tuning("ewc:samples=10", budget=4).run(Listener())["ewc:samples=10"]
    recipe = methods.get("ewc").recipe
    assert len(found["trials"]) == 4
    assert found["trials"][0]["params"] == {"lr": recipe.lr, "strength": 1.0}
    assert found["default_accuracy"] == found["trials"][0]["value"]
    assert found["accuracy"] == max(trial["value"] for trial in found["trials"]) >= found["default_accuracy"]
    best = next(trial for trial in found["trials"] if trial["value"] == found["accuracy"])
    assert found["best"] == specification("ewc:samples=10", best["params"])


def test_the_value_of_a_trial_is_the_average_validation_accuracy(tuning, tiny_tasks, tiny_network):
    (trial, _) = search(tuning("sgd", budget=2, epochs=20), "sgd")
    method = configure(f"sgd:lr={trial['params']['lr']}")
    names = tuple(task.name for task in tiny_tasks[:2])
    cell = Cell(tiny_network, method.make, 3, seed=100, device=torch.device("cpu"), tasks=names)
    state = start(cell)
    for task in tiny_tasks[:2]:
        state = learn(cell, state, task, Training(method.recipe, epochs=20, batch_size=8)).state
    shares = []
    for number, task in enumerate(tiny_tasks[:2], 1):
        with torch.no_grad():
            answers = network_for(cell, state, number, len(task.classes))(task.validation.images).argmax(1)
        shares.append((answers == task.validation.labels).double().mean().item())
    assert trial["value"] == pytest.approx(sum(shares) / 2)
    assert trial["value"] > 0.5, "something was learned"


def test_in_the_scenario_class_the_classes_of_all_tasks_compete(tuning, tiny_tasks, tiny_network):
    """Three classes, then two more: a validation image of the second task is right as column 3 or 4."""
    (trial, _) = search(tuning("sgd", budget=2, epochs=20, scenario="class"), "sgd")
    method = configure(f"sgd:lr={trial['params']['lr']}")
    names = tuple(task.name for task in tiny_tasks[:2])
    cell = Cell(tiny_network, method.make, 3, 100, torch.device("cpu"), names, scenario="class", widths=(3, 2))
    one, two = tiny_tasks[:2]
    moved = replace(two, train=two.train.relabelled(two.train.labels + 3))
    state = start(cell)
    for task in (one, moved):
        state = learn(cell, state, task, Training(method.recipe, epochs=20, batch_size=8)).state
    shares = []
    for number, (task, first) in enumerate(((one, 0), (two, 3)), 1):
        network = network_for(cell, state, number, len(task.classes))
        with torch.no_grad():
            answers = network(task.validation.images).argmax(1)
        shares.append((answers == task.validation.labels + first).double().mean().item())
    assert trial["value"] == pytest.approx(sum(shares) / 2)
    assert shares[1] > 0.4, "the task that was learned last is known, as columns 3 and 4"


def test_the_same_command_gives_the_same_file(tuning, tmp_path):
    for file in ("a.json", "b.json"):
        tuning("sgd", "ewc:samples=10", budget=4, file=file).run(Listener())
        torch.rand(3)  # the global random state must not matter
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_without_gradient_steps_no_learning_rate_is_searched(tuning):
    """ncm has nothing to search; slda has its shrinkage, and each trial passes once over the images of two tasks."""
    listener = Listener()
    found = tuning("ncm", "slda", budget=3, epochs=9).run(listener)
    assert found["ncm"] == {"best": "ncm", "accuracy": None, "default_accuracy": None, "trials": []}
    assert [set(trial["params"]) for trial in found["slda"]["trials"]] == [{"shrinkage"}] * 3
    assert listener.epochs == 3 * 2
    assert listener.failures == []


def test_options_that_are_given_are_not_searched(tuning):
    trials = search(tuning("ewc:lr=0.05:samples=10"), "ewc:lr=0.05:samples=10")
    assert [set(trial["params"]) for trial in trials] == [{"strength"}] * 3
    assert len({trial["params"]["strength"] for trial in trials}) == 3
    assert all(0.1 <= trial["params"]["strength"] <= 100 for trial in trials)


def test_what_leaves_nothing_to_search_is_passed_through(tuning):
    search = tuning("sgd:lr=0.01")
    assert search.pending == []
    listener = Listener()
    found = search.run(listener)
    assert found == {
        "sgd:lr=0.01": {"best": "sgd:lr=0.01", "accuracy": None, "default_accuracy": None, "trials": []},
    }
    assert listener.tried == []
    assert "sgd:lr=0.01  " in tune.to_text(found)


class Everything(Method):
    """Has an option of every kind."""

    search = {
        "rank": Range(1, 400),
        "share": Range(0.0, 1.0, log=False),
        "form": ("flat", "deep"),
        "bias": (True, False),
        "width": (1, 2),
        "far": Range(1.0, 2.0),
    }

    def __init__(
        self,
        rank: int = 2,
        share: float = 0.123456,
        form: Literal["flat", "deep"] = "deep",
        bias: bool = False,
        width: int | None = None,
        far: float = 9.0,
    ):
        super().__init__()
        self.rank, self.share, self.form, self.bias, self.width, self.far = rank, share, form, bias, width, far

    def part(self, module, name):
        return "shared"


def test_options_of_every_kind(tuning):
    """Whole numbers stay whole, numbers have four digits, defaults outside of the space are tried all the same."""
    methods.register("everything")(Everything)
    listener = Listener()
    search = tuning("everything", budget=8)
    trials = search.run(listener)["everything"]["trials"]
    default = {"rank": 2, "share": 0.1235, "form": "deep", "bias": False, "width": None, "far": 9.0}
    assert trials[0]["params"] == default
    assert listener.tried[0] == "everything:rank=2:share=0.1235:form=deep:bias=false:far=9"
    assert {type(trial["params"]["rank"]) for trial in trials} == {int}
    assert {trial["params"]["form"] for trial in trials} == {"flat", "deep"}
    for trial, text in zip(trials, listener.tried, strict=True):
        made = configure(text).make()
        assert {name: getattr(made, name) for name in default} == trial["params"], text
        assert all(float(f"{v:.4g}") == v for v in trial["params"].values() if isinstance(v, float))
    assert all(1 <= trial["params"]["far"] <= 2 for trial in trials[1:])


def test_the_same_specification_is_not_learned_twice(tuning):
    class Choice(Everything):
        """Leaves two choices."""

        search = {"form": ("flat", "deep")}

    methods.register("choice")(Choice)
    listener = Listener()
    trials = tuning("choice", budget=6, epochs=1).run(listener)["choice"]["trials"]
    assert len(trials) == len(listener.tried) == 6
    assert len(set(listener.tried)) * 2 == listener.epochs <= 4, "two tasks of one epoch for each specification"


class Explosive(Method):
    """Diverges at a scale that float32 cannot hold."""

    search = {"scale": (1.0, 1e39)}

    def __init__(self, scale: float = 1e39):
        super().__init__()
        self.scale = scale

    def part(self, module, name):
        return "shared"

    def before_backward(self, strategy, **kwargs):
        strategy.loss *= self.scale


def test_training_that_diverges_is_the_worst_value_and_no_failure(tuning):
    methods.register("explosive")(Explosive)
    listener = Listener()
    found = tuning("explosive", budget=6, epochs=4).run(listener)["explosive"]
    assert found["trials"][0] == {
        "params": {"scale": 1e39},
        "value": 0.0,
        "diverged": True,
        "accuracies": [0.0],
    }
    assert [t["diverged"] for t in found["trials"]] == [t["params"]["scale"] > 1 for t in found["trials"]]
    assert found["default_accuracy"] == 0 < found["accuracy"]
    assert found["best"] == "explosive:scale=1"
    assert listener.failures == []


def pretended(monkeypatch: pytest.MonkeyPatch, accuracies: Mapping[tuple[str, int], float]) -> list[tuple[str, int]]:
    """Pretend that a specification has this accuracy with this seed, and diverges if none is given: what is learned."""
    learned: list[tuple[str, int]] = []

    def validation_accuracy(prepared: Prepared, method: Any, seed: int, tell: Any) -> float:
        learned.append((method.label, seed))
        if (method.label, seed) not in accuracies:
            raise DivergedError("the loss is no longer finite")
        return accuracies[method.label, seed]

    monkeypatch.setattr(tune, "validation_accuracy", validation_accuracy)
    return learned


class Fork(Everything):
    """Leaves two choices; the first is the default."""

    search = {"form": ("deep", "flat")}


DEEP, FLAT = "fork:form=deep", "fork:form=flat"


def test_the_value_of_a_trial_is_the_mean_over_the_seeds(tuning, monkeypatch):
    """With seed 7 alone, the other option would be chosen: (0.5 + 0.7 + 0.3) / 3 < (0.4 + 0.4 + 0.8) / 3."""
    methods.register("fork")(Fork)
    deep, flat = {7: 0.5, 8: 0.7, 9: 0.3}, {7: 0.4, 8: 0.4, 9: 0.8}
    accuracies = {(DEEP, seed): value for seed, value in deep.items()} | {(FLAT, s): v for s, v in flat.items()}
    learned = pretended(monkeypatch, accuracies)
    found = tuning("fork", budget=6, seeds=(7, 8, 9)).run(Listener())["fork"]
    assert learned == [(DEEP, 7), (DEEP, 8), (DEEP, 9), (FLAT, 7), (FLAT, 8), (FLAT, 9)]
    assert (found["best"], found["accuracy"]) == (FLAT, pytest.approx(1.6 / 3))
    assert found["default_accuracy"] == pytest.approx(0.5)
    assert found["trials"][0]["accuracies"] == [0.5, 0.7, 0.3]


def test_each_seed_is_learned_as_if_it_were_alone(tuning):
    """Nothing of a seed reaches the next one."""
    both = search(tuning("sgd", budget=2, seeds=(100, 101)), "sgd")
    alone = [search(tuning("sgd", budget=2, seeds=(seed,), file=f"{seed}.json"), "sgd")[0] for seed in (100, 101)]
    assert both[0]["accuracies"] == [trial["value"] for trial in alone]
    assert both[0]["value"] == pytest.approx((alone[0]["value"] + alone[1]["value"]) / 2)


def test_a_trial_of_which_one_seed_diverges_counts_as_0(tuning, monkeypatch):
    """The seeds after it are not learned, and the progress ends all the same."""
    methods.register("fork")(Fork)
    learned = pretended(monkeypatch, {(DEEP, 7): 0.9, (DEEP, 9): 0.9} | {(FLAT, seed): 0.2 for seed in (7, 8, 9)})
    listener = Listener()
    found = tuning("fork", budget=6, seeds=(7, 8, 9)).run(listener)["fork"]
    assert learned == [(DEEP, 7), (DEEP, 8), (FLAT, 7), (FLAT, 8), (FLAT, 9)]
    assert (found["best"], found["default_accuracy"]) == (FLAT, 0)
    assert found["trials"][0] == {
        "params": {"form": "deep"},
        "value": 0.0,
        "diverged": True,
        "accuracies": [0.9, 0.0],
    }
    assert (listener.failures, listener.open) == ([], [])


@pytest.mark.parametrize("finished", range(6))
def test_an_interrupted_search_goes_on_after_the_last_seed(tuning, tmp_path, monkeypatch, finished):
    methods.register("fork")(Fork)
    accuracies = {(text, seed): 0.1 * seed for text in (DEEP, FLAT) for seed in (3, 4, 5)} | {(DEEP, 3): 0.9}
    learned = pretended(monkeypatch, accuracies)
    tuning("fork", budget=6, seeds=(3, 4, 5), file="straight.json").run(Listener())
    every = list(learned)
    original = tune.validation_accuracy

    def interrupted(*arguments: Any) -> float:
        if len(learned) == finished:
            raise KeyboardInterrupt
        return original(*arguments)

    learned.clear()
    monkeypatch.setattr(tune, "validation_accuracy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tuning("fork", budget=6, seeds=(3, 4, 5)).run(Listener())
    monkeypatch.setattr(tune, "validation_accuracy", original)
    tuning("fork", budget=6, seeds=(3, 4, 5)).run(Listener())
    assert learned == every, "no seed is learned twice"
    assert (tmp_path / "tuned.json").read_bytes() == (tmp_path / "straight.json").read_bytes()


def test_a_method_that_fails_does_not_stop_the_others(tuning, tmp_path, monkeypatch):
    class Broken(Everything):
        """Cannot learn."""

        def before_backward(self, strategy, **kwargs):
            raise RuntimeError("out of luck")

    methods.register("broken")(Broken)
    listener = Listener()
    found = tuning("broken", "sgd").run(listener)
    ((name, cause),) = listener.failures
    assert name == "broken"
    assert cause.startswith("RuntimeError: out of luck, in before_backward (")
    assert listener.open == [], "no bar is left"
    assert list(found) == list(json.loads((tmp_path / "tuned.json").read_text())["methods"]) == ["sgd"]


class Unlucky(Everything):
    """Meets an error of CUDA in its third trial."""

    search = {"share": (0.1, 0.2, 0.3, 0.4, 0.5)}
    learned: ClassVar[list[float]] = []
    fails = True

    def before_training_exp(self, strategy):
        super().before_training_exp(strategy)
        if self.fails and len(set(self.learned)) == 2 and self.share not in self.learned:
            raise RuntimeError("CUDA error: device-side assert triggered\nSearch for it")
        self.learned.append(self.share)


def test_an_error_of_the_gpu_ends_the_search_and_finished_trials_are_kept(tuning, tmp_path, monkeypatch):
    methods.register("unlucky")(Unlucky)
    monkeypatch.setattr(Unlucky, "learned", [])
    listener = Listener()
    with pytest.raises(UserError) as caught:
        tuning("bn-only", "unlucky", "sgd", budget=8).run(listener)
    assert str(caught.value) == (
        "unlucky: RuntimeError: CUDA error: device-side assert triggered, after which this process cannot use the GPU "
        f"any more; the same command goes on after the trials that are in {tmp_path / 'tuned.json'}, and if the "
        "error comes again, leave unlucky out"
    )
    assert (listener.failures, listener.open) == ([], [])
    kept = json.loads((tmp_path / "tuned.json").read_text())
    assert list(kept["methods"]) == ["bn-only"]
    before = list(dict.fromkeys(Unlucky.learned))
    assert len(before) == 2
    assert [trial["params"]["share"] for trial in kept["unfinished"]["unlucky"]] == before

    monkeypatch.setattr(Unlucky, "fails", False)
    monkeypatch.setattr(Unlucky, "learned", [])
    assert list(tuning("bn-only", "unlucky", "sgd", budget=8).run(Listener())) == ["bn-only", "unlucky", "sgd"]
    assert Unlucky.learned
    assert not set(before) & set(Unlucky.learned), "no finished trial is learned again"
    tuning("bn-only", "unlucky", "sgd", budget=8, file="straight.json").run(Listener())
    assert (tmp_path / "tuned.json").read_bytes() == (tmp_path / "straight.json").read_bytes()


def test_a_full_disk_is_no_failure_of_a_method(tuning, monkeypatch):
    def full(path, content):
        raise StorageError("--out: no room")

    search, listener = tuning("sgd", "bn-only"), Listener()
    monkeypatch.setattr(tune, "write_tuned", full)
    with pytest.raises(StorageError):
        search.run(listener)
    assert (listener.failures, listener.open) == ([], [])


@pytest.mark.parametrize(
    "unfinished",
    [
        {"sgd": 3},
        {"sgd": [3]},
        {"sgd": [{}]},
        {"sgd": [{"params": {"lr": 0.1}, "value": "high", "diverged": False}]},
        ["sgd"],
    ],
)
def test_damaged_trials_are_refused(tuning, tmp_path, unfinished):
    tuning("sgd:lr=0.1")
    path = tmp_path / "tuned.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"unfinished": unfinished}))
    with pytest.raises(UserError, match=r"tuned.json is no file of `python -m benchmark tune`$"):
        tuning("sgd:lr=0.1")


def test_a_file_of_an_older_version_goes_on(tuning, tmp_path):
    tuning("sgd:lr=0.1").run(Listener())
    path = tmp_path / "tuned.json"
    content = json.loads(path.read_text())
    assert content.pop("unfinished") == {}
    path.write_text(json.dumps(content))
    labels = ["sgd:lr=0.1", "ewc:lr=0.1:strength=1"]
    assert list(tuning(*labels).run(Listener())) == labels


def test_a_file_with_one_seed_of_an_older_version_goes_on(tuning, tmp_path, monkeypatch):
    """It has "seed" instead of "seeds", and trials without "accuracies"."""
    methods.register("fork")(Fork)
    learned = pretended(monkeypatch, {(DEEP, 100): 0.25, (FLAT, 100): 0.5})
    tuning("fork", budget=6, file="straight.json").run(Listener())
    learned.clear()
    tuning("fork", budget=6)
    path = tmp_path / "tuned.json"
    content = json.loads(path.read_text())
    settings = {key: value for key, value in content["settings"].items() if key not in ("seeds", "budget")}
    content["settings"] = settings | {"seed": 100, "budget": 6}
    content["unfinished"] = {"fork": [{"params": {"form": "deep"}, "value": 0.25, "diverged": False}]}
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="exists with --seeds 100, not 100,101; give the same settings to resume it"):
        tuning("fork", budget=6, seeds=(100, 101))
    found = tuning("fork", budget=6).run(Listener())
    assert learned == [(FLAT, 100)], "the trial of the old file is not learned again"
    assert found == json.loads((tmp_path / "straight.json").read_text())["methods"]


def test_an_option_that_a_method_does_not_have_is_refused(tuning):
    class Lost(Everything):
        """Searches what is not there."""

        search = {"depth": (1, 2)}

    methods.register("lost")(Lost)
    with pytest.raises(UserError, match=r"^method 'lost' searches the option 'depth', which it does not have$"):
        tuning("lost")


def test_what_is_done_is_kept_and_not_learned_again(tuning, tmp_path, monkeypatch):
    def interrupted(prepared: Prepared, method: Any, seed: int, tell: Any) -> float:
        if method.label.startswith("bn-only"):
            raise KeyboardInterrupt
        return original(prepared, method, seed, tell)

    original = tune.validation_accuracy
    monkeypatch.setattr(tune, "validation_accuracy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tuning("sgd", "bn-only").run(Listener())
    assert list(json.loads((tmp_path / "tuned.json").read_text())["methods"]) == ["sgd"]

    monkeypatch.setattr(tune, "validation_accuracy", original)
    again, listener = tuning("sgd", "bn-only"), Listener()
    assert [method.label for method in again.pending] == ["bn-only"]
    assert list(again.run(listener)) == ["sgd", "bn-only"]
    assert all(text.startswith("bn-only") for text in listener.tried)
    uninterrupted = tuning("sgd", "bn-only", file="straight.json")
    uninterrupted.run(Listener())
    assert (tmp_path / "tuned.json").read_bytes() == (tmp_path / "straight.json").read_bytes()


def test_a_file_made_under_other_settings_is_not_added_to(tuning, tmp_path):
    tuning("sgd:lr=0.1").run(Listener())
    before = (tmp_path / "tuned.json").read_bytes()
    with pytest.raises(UserError) as caught:
        tuning("sgd:lr=0.1", epochs=5)
    assert str(caught.value) == (
        f"--out {tmp_path / 'tuned.json'}: that file exists with --epochs 2, not 5; "
        f"give the same settings to resume it, or another --out"
    )
    assert (tmp_path / "tuned.json").read_bytes() == before


def test_a_file_does_not_go_on_on_another_kind_of_device(tuning, tmp_path):
    """Although both commands say --device auto."""
    path = tmp_path / "tuned.json"
    on_cpu = tuning("sgd:lr=0.1")
    assert json.loads(path.read_text())["settings"]["device"] == "cpu"
    on_gpu = replace(on_cpu.prepared, device=torch.device("cuda"))
    with pytest.raises(UserError) as caught:
        Tuning(on_gpu, 3, path)
    assert str(caught.value).startswith(f"--out {path}: that file exists with --device cpu, not cuda; give the same")
    # A file of an older version, in which it is not known what "auto" was.
    content = json.loads(path.read_text())
    content["settings"]["device"] = "auto"
    path.write_text(json.dumps(content))
    Tuning(on_gpu, 3, path)


def test_the_table_says_what_was_gained():
    found = {
        "ewc": {"default_accuracy": 0.5, "accuracy": 0.625, "best": "ewc:lr=0.02:strength=3"},
        "sgd:lr=0.1": {"default_accuracy": None, "accuracy": None, "best": "sgd:lr=0.1"},
    }
    assert tune.to_text(found).splitlines()[2:] == [
        "Method      Default  Tuned  Best specification",
        "--------------------------------------------------",
        "ewc            50.0   62.5  ewc:lr=0.02:strength=3",
        "sgd:lr=0.1        –      –  sgd:lr=0.1",  # noqa: RUF001
    ]


class Untouchable(ArrayImages):
    """Test images that must not be read."""

    def read(self, index):
        raise AssertionError("a test image was read")


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stream of two tasks whose test images cannot be read; commands run in an empty folder."""

    class Guarded(StreamSource):
        default_image_size = 8

        def raw_tasks(self, limit):
            random = torch.Generator().manual_seed(0)
            pixels = torch.randint(0, 256, (40, 8, 8, 3), dtype=torch.uint8, generator=random).numpy()
            labels = [number % 2 for number in range(40)]
            images, test = ArrayImages(pixels, labels), Untouchable(pixels, labels)
            return [RawTask(name, ("a", "b"), images, test) for name in ("one", "two")][:limit]

    monkeypatch.setattr(build.streams, "get", lambda name: Guarded)
    monkeypatch.chdir(tmp_path)


COMMAND = "tune --methods clr,ewc:samples=10,sgd:lr=0.1 --budget 2 --epochs 1 --device cpu"


@pytest.mark.usefixtures("guarded")
def test_test_images_are_never_touched(capsys, without_tasks):
    with pytest.raises(AssertionError, match="a test image was read"):
        main(["run", "--methods", "clr", "--epochs", "1"])
    assert main(COMMAND.split()) == 0
    content = json.loads(Path("tuned.json").read_text())
    assert list(content["methods"]) == ["clr", "ewc:samples=10", "sgd:lr=0.1"]
    assert content["settings"] == {
        "stream": "mini",
        "backbone": "mini",
        "scenario": "task",
        "tuning_tasks": 3,
        "image_size": None,
        "resize": "squeeze",
        "grey_range": [],
        "train_images": None,
        "validation": 10,
        "epochs": 1,
        "batch_size": 32,
        "augment": [],
        "precision": "fp32",
        "device": "cpu",
        "seeds": [100, 101],
        "budget": 2,
    }
    printed = capsys.readouterr()
    assert without_tasks(printed.err) == ""
    assert [line.split()[0] for line in printed.out.splitlines()[4:7]] == list(content["methods"])
    assert printed.out.endswith("The best specifications are in tuned.json; run them with --tuned tuned.json\n")


@pytest.mark.usefixtures("guarded")
def test_the_command_says_how_it_ended(capsys, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    def unlucky(*arguments):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(tune, "validation_accuracy", interrupted)
    assert main(COMMAND.split()) == 130
    assert "interrupted; the methods that are done are in tuned.json" in capsys.readouterr().err
    monkeypatch.setattr(tune, "validation_accuracy", unlucky)
    assert main(COMMAND.split()) == 1
    assert "clr failed: RuntimeError: out of luck" in capsys.readouterr().err


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize(
    ("given", "seeds"),
    [
        ("", [100, 101]),
        ("--seeds 100,101", [100, 101]),
        ("--seeds 7,", [7]),
        ("--seeds 2", [0, 1]),
        ("--seed 5", [5]),
        ("--seed 0", [0]),
    ],
)
def test_the_command_takes_seeds(given, seeds, monkeypatch):
    learned = pretended(monkeypatch, {("sgd:lr=0.03", seed): 0.5 for seed in range(200)})
    assert main(f"tune --methods sgd --budget 1 --epochs 1 --device cpu {given}".split()) == 0
    assert [seed for _, seed in learned] == seeds
    assert json.loads(Path("tuned.json").read_text())["settings"]["seeds"] == seeds


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("--seed 1 --seeds 2", "--seed and --seeds both say which seeds are learned; give one of them"),
        ("--seeds 1,1", "--seeds 1,1 gives a seed twice; give each once"),
        ("--seeds x", "--seeds x is neither how many seeds (3) nor a list of them (4,7)"),
        ("--seeds 0", "--seeds 0 is neither how many seeds (3) nor a list of them (4,7)"),
        ("--seed -1", f"--seed: -1 is no seed; write a whole number from 0 to {LARGEST_SEED}"),
    ],
)
def test_seeds_that_cannot_be_used_are_refused(given, says, capsys):
    assert main(f"tune --methods sgd --budget 1 {given}".split()) == 2
    assert capsys.readouterr().err == f"error: {says}\n"
    assert not Path("tuned.json").exists()


def test_a_trial_trains_with_the_given_augmentation_and_precision(tuning, monkeypatch):
    trainings: list[Training] = []

    def learn_and_tell(cell: Any, state: Any, task: Any, training: Training, *rest: Any) -> Any:
        trainings.append(training)
        return learn(cell, state, task, training, *rest)

    monkeypatch.setattr(tune, "learn", learn_and_tell)
    made = tuning("sgd", budget=1, epochs=1)
    settings = replace(made.prepared.settings, augment=("flip",), precision="bf16", validation=20)
    made = Tuning(replace(made.prepared, settings=settings), 1, made.path.with_name("other.json"))
    search(made, "sgd")
    assert {(training.augment, training.precision) for training in trainings} == {(("flip",), "bf16")}
    kept = json.loads(made.path.read_bytes())["settings"]
    assert (kept["augment"], kept["precision"], kept["validation"]) == (["flip"], "bf16", 20)


def test_without_validation_images_nothing_can_be_chosen(tuning):
    made = tuning("sgd")
    (first, second) = made.prepared.stream.tasks
    blind = replace(second, validation=LabelledImages(second.validation.images[:0], second.validation.labels[:0]))
    prepared = replace(made.prepared, stream=replace(made.prepared.stream, tasks=(first, blind)))
    with pytest.raises(UserError, match=f"options are chosen on validation images, and task '{second.name}' has none"):
        Tuning(prepared, 1, made.path)
