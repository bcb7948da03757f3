"""Plugins of Avalanche as methods: as their formulas, as in Avalanche's own loop, stored, simulated and refused."""

from __future__ import annotations

import copy
import inspect
import json
import random
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any, Literal

import avalanche.training.plugins
import numpy as np
import pytest
import torch
from avalanche.benchmarks.scenarios import benchmark_from_datasets, with_classes_timeline, with_task_labels
from avalanche.benchmarks.utils import _make_taskaware_classification_dataset
from avalanche.core import BaseSGDPlugin, SupervisedPlugin
from avalanche.models import BaseModel, MultiTaskModule
from avalanche.training.plugins import GEMPlugin, MASPlugin
from avalanche.training.templates import SupervisedTemplate
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from baselines.avalanche import plugins as avalanche_plugins
from baselines.avalanche.plugins import AvalanchePlugin
from benchmark.checks.base import examine_one
from benchmark.checks.methods import METHOD_CHECKS
from benchmark.checks.subject import MethodSubject
from benchmark.checks.tiny import three_tasks
from benchmark.images.labelled import LabelledImages
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.seeds import derive
from benchmark.learning.training import Training
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods.configured import configure
from methods.errors import UserError
from methods.heads import is_head
from methods.network import Network
from methods.options import construct, option_types, option_values, parse_spec
from methods.recipe import Recipe
from methods.scenarios import Scenario

pytestmark = pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning")

PLAIN = Training(Recipe(lr=0.05, momentum=0.0, schedule="constant"), epochs=2, batch_size=8)

GEM = "patterns_per_experience=10:memory_strength=0.5"

# Every plugin of Avalanche that can be used, with options that make a difference on the tiny tasks.
USABLE = (
    "EWCPlugin:ewc_lambda=10",
    "EWCPlugin:ewc_lambda=10:mode=online:decay_factor=0.5",
    "FeatureDistillationPlugin:alpha=5",
    "FromScratchTrainingPlugin",
    f"GEMPlugin:{GEM}",
    "LFLPlugin:lambda_e=5",
    "LwFPlugin:alpha=5",
    "MASPlugin:lambda_reg=10",
    "RWalkPlugin:ewc_lambda=0.1:delta_t=3",
)

P = 3 * 6 * 9 + 12 + 6 * 5 + 10


@pytest.fixture
def two_classes(tiny_tasks: tuple[Task, ...]) -> tuple[Task, ...]:
    """The tiny tasks with two classes each: Avalanche pads narrower heads with zeros."""
    return tuple(
        replace(task, classes=task.classes[:2], train=LabelledImages(task.train.images, task.train.labels % 2))
        for task in tiny_tasks
    )


@pytest.fixture
def _double() -> Iterator[None]:
    """Everything in double precision, what the plugin itself makes included."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(autouse=True)
def _projection(monkeypatch: pytest.MonkeyPatch) -> None:
    """GEM's solver need not be installed: another way to agree with the last task's memory is as good here."""

    def solve(self: GEMPlugin, gradient: Tensor) -> Tensor:
        reference = self.G[-1]
        return gradient - (gradient @ reference).clamp(max=0) / (reference @ reference) * reference

    monkeypatch.setattr(avalanche_plugins, "find_spec", lambda name: object())
    monkeypatch.setattr(GEMPlugin, "solve_quadprog", solve)


# A plugin as it is.


@pytest.mark.usefixtures("_double")
def test_mas_is_its_formula_over_two_tasks(
    make_cell: Callable[..., Cell],
    states: Callable[..., list[State]],
    tiny_network: Network,
    tiny_tasks: tuple[Task, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """L = CE + lambda * sum Omega (theta - theta*)^2, Omega the mean over batches of |d mean |f(x)|^2 / d theta|.

    After the second task, Omega is the mean of the old one and the new. The gradients are those of a plain network with
    the values of the states.
    """
    penalties = []

    def spy(self: MASPlugin, strategy: Any, **kwargs: Any) -> None:
        before = strategy.loss.item()
        original(self, strategy, **kwargs)
        weights = {name: p.detach().clone() for name, p in strategy.model.network.named_parameters()}
        penalties.append((strategy.clock.train_exp_counter, strategy.loss.item() - before, weights))

    original = MASPlugin.before_backward
    monkeypatch.setattr(MASPlugin, "before_backward", spy)
    one, two = states(make_cell("avalanche:MASPlugin:lambda_reg=3", tiny_network.double()), tiny_tasks[:2])

    omega = importance(tiny_network, one, tiny_tasks[:1])
    assert_stored(one, "importance", omega)
    for task, penalty, weights in penalties:
        anchor = values(tiny_network, one, tiny_tasks[:1])
        expected = sum(
            (omega[name] * (weights[name][: len(value)] - value).square()).sum() for name, value in anchor.items()
        )
        assert penalty == pytest.approx(3 * float(expected) if task else 0, rel=1e-10, abs=1e-14)
    assert penalties[-1][1] > 0
    new = importance(tiny_network, two, tiny_tasks[:2])
    for name, value in omega.items():
        new[name] = new[name] / 2
        new[name][: len(value)] += value / 2
    assert_stored(two, "importance", new)
    assert_stored(two, "params", values(tiny_network, two, tiny_tasks[:2]))


def plain_network(network: Network, state: State, tasks: tuple[Task, ...]) -> Network:
    """A network with a head for each task and the values of a state."""
    network = copy.deepcopy(network)
    for number, task in enumerate(tasks, 1):
        network.heads.add(str(number), len(task.classes))
        network.place(state.tasks[number])
    network.place(state.shared)
    network.use_head(str(len(tasks)), len(tasks[-1].classes))
    return network.train()


def values(network: Network, state: State, tasks: tuple[Task, ...]) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in plain_network(network, state, tasks).named_parameters()}


def importance(network: Network, state: State, tasks: tuple[Task, ...]) -> dict[str, Tensor]:
    network = plain_network(network, state, tasks)
    parameters = dict(network.named_parameters())
    batches = tasks[-1].train.images.split(8)
    gradients = [torch.autograd.grad(network(x).square().sum(1).mean(), list(parameters.values())) for x in batches]
    means = [torch.stack([g.abs() for g in parts]).mean(0) for parts in zip(*gradients, strict=True)]
    return dict(zip(parameters, means, strict=True))


def assert_stored(state: State, attribute: str, expected: dict[str, Tensor]) -> None:
    prefix = f"MASPlugin.{attribute}.network."
    stored = {name.removeprefix(prefix): t for name, t in state.memory.items() if name.startswith(prefix)}
    if attribute == "importance":
        # Before the first penalty of the next task, the importance has no rows for its head.
        assert stored.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(stored[name], tensor, rtol=1e-10, atol=1e-14)


class AvalancheModel(MultiTaskModule, BaseModel):
    """A network to which Avalanche's loop adds a head when a task comes."""

    def __init__(self, network: Network):
        super().__init__()
        self.network = copy.deepcopy(network)
        self.linear = nn.Linear(1, 1)

    def adaptation(self, experience: Any) -> None:
        super().adaptation(experience)
        task = experience.current_experience + 1
        torch.manual_seed(derive(0, task, "head"))
        self.network.heads.add(str(task), 2)

    def get_features(self, x: Tensor) -> Tensor:
        return self.network.features(x)

    def forward(self, x: Tensor, task_labels: Tensor | None) -> Any:
        self.features = self.get_features(x)
        tasks = self.known_train_tasks_labels if task_labels is None else set(task_labels.tolist())
        answers = {task: self.network.heads(self.features, str(task + 1)) for task in tasks & known_tasks(self.network)}
        return answers if task_labels is None else answers.get(int(task_labels[0]))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "features": None}


def known_tasks(network: Network) -> set[int]:
    return {int(key) - 1 for key in network.heads.rows}


@pytest.mark.usefixtures("_double")
@pytest.mark.parametrize("plugin", USABLE)
def test_learns_what_avalanches_own_loop_learns(
    plugin: str,
    make_cell: Callable[..., Cell],
    states: Callable[..., list[State]],
    tiny_network: Network,
    two_classes: tuple[Task, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There, one plugin and one model live through all tasks; here nothing but the state does."""
    monkeypatch.setattr(torch, "randperm", lambda count, **kwargs: torch.arange(count))
    tiny_network.double()
    state = states(make_cell(f"avalanche:{plugin}"), two_classes, PLAIN)[-1]
    unhindered = states(make_cell("sgd"), two_classes, PLAIN)[-1]

    method = configure(f"avalanche:{plugin}").make()
    model = AvalancheModel(tiny_network)
    datasets = [
        _make_taskaware_classification_dataset(
            TensorDataset(task.train.images, task.train.labels), targets=task.train.labels.tolist(), task_labels=number
        )
        for number, task in enumerate(two_classes)
    ]
    strategy = SupervisedTemplate(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.05),
        criterion=nn.functional.cross_entropy,
        train_mb_size=8,
        train_epochs=2,
        plugins=[method.make_plugin()],
        evaluator=SimpleNamespace(get_last_metrics=dict),
    )
    for experience in with_classes_timeline(with_task_labels(benchmark_from_datasets(train=datasets))).train_stream:
        strategy.train(experience, eval_streams=[], shuffle=False)

    for name, _, tensor in model.network.tensors():
        torch.testing.assert_close(state.shared[name], tensor.detach(), rtol=1e-8, atol=1e-10)
    assert any(not torch.allclose(tensor, unhindered.shared[name]) for name, tensor in state.shared.items())


class OneHeadModel(BaseModel, nn.Module):
    """A network with one classifier, as Avalanche's models for streams without task labels."""

    def __init__(self, network: Network):
        super().__init__()
        self.network = copy.deepcopy(network)
        self.network.heads = nn.Identity()
        self.heads = nn.Linear(6, 1, bias=False)
        self.heads.weight = nn.Parameter(torch.empty(0, 6))

    def grow(self, task: int, classes: int) -> None:
        """Weights and biases are one parameter: of two, LFL would leave one alone."""
        torch.manual_seed(derive(0, task, "head"))
        new = nn.Linear(5, classes)
        rows = torch.cat([new.weight, new.bias[:, None]], 1).detach()
        grown = nn.Linear(6, 1, bias=False)
        grown.weight = nn.Parameter(torch.cat([self.heads.weight.detach(), rows]))
        self.heads = grown

    def get_features(self, x: Tensor) -> Tensor:
        return self.network.features(x)

    def forward(self, x: Tensor) -> Tensor:
        self.features = self.get_features(x)
        # RWalk divides by steps that may be zero but for rounding, so this is rounded as the network's head is.
        return nn.functional.linear(self.features, self.heads.weight[:, :-1], self.heads.weight[:, -1])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "features": None}


@pytest.mark.usefixtures("_double")
@pytest.mark.parametrize("scenario", ["class", "domain"])
@pytest.mark.parametrize("plugin", USABLE)
def test_learns_with_one_head_what_avalanches_own_loop_learns(
    plugin: str,
    scenario: Scenario,
    states: Callable[..., list[State]],
    tiny_network: Network,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without task labels. In the scenario "class" the classifier grows, and its importances with it."""
    method = configure(f"avalanche:{plugin}")
    if scenario not in method.cls.scenarios:
        pytest.skip(f"{plugin} has no answer of its own there")
    monkeypatch.setattr(torch, "randperm", lambda count, **kwargs: torch.arange(count))
    tiny_network.double()
    tasks = three_tasks(scenario)
    cells = [
        MethodSubject(configure(spec), tasks, scenario).cell(network=tiny_network) for spec in (str(method.spec), "sgd")
    ]
    cells = [replace(cell, tasks=()) for cell in cells]
    state, unhindered = (states(cell, tasks, PLAIN)[-1] for cell in cells)

    model, made = OneHeadModel(tiny_network), method.make()
    assert isinstance(made, AvalanchePlugin)
    datasets = [
        _make_taskaware_classification_dataset(
            TensorDataset(task.train.images, task.train.labels), targets=task.train.labels.tolist(), task_labels=0
        )
        for task in tasks
    ]
    strategy = SupervisedTemplate(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.05),
        criterion=nn.functional.cross_entropy,
        train_mb_size=8,
        train_epochs=2,
        plugins=[made.make_plugin()],
        evaluator=SimpleNamespace(get_last_metrics=dict),
    )
    stream = with_classes_timeline(with_task_labels(benchmark_from_datasets(train=datasets))).train_stream
    for number, (experience, task) in enumerate(zip(stream, tasks, strict=True), 1):
        if scenario == "class":
            model.grow(number, len(task.classes))
        elif number == 1:
            model.heads.weight = nn.Parameter(head_of(start(cells[0])))
        strategy.train(experience, eval_streams=[], shuffle=False)

    torch.testing.assert_close(head_of(state), model.heads.weight.detach(), rtol=1e-8, atol=1e-10)
    for name, _, tensor in model.network.tensors():
        torch.testing.assert_close(state.shared[name], tensor.detach(), rtol=1e-8, atol=1e-10)
    assert any(not torch.allclose(tensor, unhindered.shared[name]) for name, tensor in state.shared.items())


def head_of(state: State) -> Tensor:
    weight, bias = (state.shared[f"heads.shared.{name}"] for name in ("weight", "bias"))
    return torch.cat([weight, bias[:, None]], 1)


@pytest.mark.parametrize("scenario", ["class", "domain"])
@pytest.mark.parametrize("plugin", USABLE)
def test_goes_on_after_a_stop_and_costs_the_same_without_data_with_one_head(plugin: str, scenario: Scenario) -> None:
    subject = MethodSubject(configure(f"avalanche:{plugin}"), scenario=scenario)
    for name in ("goes on after a stop as without one", "runs without data, for the same cost"):
        assert examine_one(next(check for check in METHOD_CHECKS if check.name == name), subject).text == ""


def test_a_plugin_says_where_it_answers() -> None:
    """LFL freezes the classifier for good, which nothing that is stored says."""
    assert configure("avalanche:MASPlugin").cls.scenarios == ("task", "class", "domain")
    assert configure("avalanche:LFLPlugin:lambda_e=1").cls.scenarios == ("task", "class")


# What is kept of it.


@pytest.mark.parametrize("plugin", USABLE)
def test_a_simulation_counts_what_a_run_counts(
    plugin: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    cell = make_cell(f"avalanche:{plugin}")
    empty = replace(cell, pristine=copy.deepcopy(cell.pristine).to("meta"), device=torch.device("meta"))
    state, simulated = start(cell), start(empty)
    for task in tiny_tasks:
        images = LabelledImages(task.train.images.to("meta"), task.train.labels.to("meta"))
        real = learn(cell, state, task, PLAIN)
        dry = learn(empty, simulated, replace(task, train=images), replace(PLAIN, dry=True))
        assert dry.operations == real.operations
        counted, expected = dry.state.count_bytes(), real.state.count_bytes()
        # The simulation counts less steps, and marks what stays on the CPU while the rest is elsewhere.
        assert abs(counted.pop("memory") - expected.pop("memory")) < 100
        assert counted == expected
        state, simulated = real.state, dry.state


@pytest.mark.parametrize(
    ("plugin", "each", "once", "images"),
    [
        ("EWCPlugin:ewc_lambda=10", 2 * P, 0, 0),
        ("MASPlugin", 0, 2 * P, 0),
        ("FromScratchTrainingPlugin", 0, P + 22, 0),
        ("RWalkPlugin:delta_t=3", 0, 4 * P, 0),
        ("LwFPlugin", 0, 0, 0),
        ("LFLPlugin:lambda_e=1", 0, 0, 0),
        ("FeatureDistillationPlugin", 0, 0, 0),
        (f"GEMPlugin:{GEM}", 0, 0, 10),
    ],
)
def test_only_what_the_next_task_needs_is_kept(
    plugin: str,
    each: int,
    once: int,
    images: int,
    make_cell: Callable[..., Cell],
    states: Callable[..., list[State]],
    tiny_tasks: tuple[Task, ...],
) -> None:
    """Values of the backbone and batch normalisation; images. Copies of the network as it is cost nothing."""
    for number, state in enumerate(states(make_cell(f"avalanche:{plugin}"), tiny_tasks), 1):
        backbone = [tensor.numel() for name, tensor in state.memory.items() if ".backbone." in name]
        assert sum(backbone) == number * each + once
        assert state.count_bytes()["replay"] == number * images * 3 * 8 * 8


@pytest.mark.parametrize("plugin", [f"GEMPlugin:{GEM}", "RWalkPlugin:delta_t=3"])
def test_what_is_left_out_makes_no_difference(
    plugin: str,
    make_cell: Callable[..., Cell],
    states: Callable[..., list[State]],
    tiny_tasks: tuple[Task, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    less = states(make_cell(f"avalanche:{plugin}"), tiny_tasks)[-1]
    monkeypatch.setattr(avalanche_plugins, "_SCRATCH", {})
    more = states(make_cell(f"avalanche:{plugin}"), tiny_tasks)[-1]
    assert len(less.memory) < len(more.memory)
    assert all(torch.equal(tensor, more.shared[name]) for name, tensor in less.shared.items())


def test_old_heads_are_trained_where_the_plugin_reaches_them(
    make_cell: Callable[..., Cell], states: Callable[..., list[State]], tiny_tasks: tuple[Task, ...]
) -> None:
    one, two = states(make_cell("avalanche:LwFPlugin:alpha=5"), tiny_tasks[:2])
    moved = [not torch.equal(tensor, two.tasks[1][name]) for name, tensor in one.tasks[1].items() if is_head(name)]
    assert moved == [True, True]


# Which plugins, and their options.


def test_every_plugin_of_avalanche_is_used_or_refused() -> None:
    names = {
        name
        for name, value in vars(avalanche.training.plugins).items()
        if isinstance(value, type) and issubclass(value, BaseSGDPlugin)
    }
    usable = {spec.partition(":")[0] for spec in USABLE}
    assert usable < names
    for name in sorted(names - usable):
        with pytest.raises(UserError, match=f"^avalanche:{name} cannot be used: it "):
            configure(f"avalanche:{name}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("avalanche", "'avalanche' needs PLUGIN: write avalanche:PLUGIN"),
        ("avalanche:lr=0.1", "'avalanche:lr=0.1' needs PLUGIN: write avalanche:PLUGIN"),
        (
            "avalanche:MASPlugn",
            "avalanche:MASPlugn: unknown plugin 'MASPlugn': did you mean 'MASPlugin'? known are EWCPlugin, "
            "FeatureDistillationPlugin, FromScratchTrainingPlugin, GEMPlugin, LFLPlugin, LwFPlugin, MASPlugin, "
            "RWalkPlugin",
        ),
        (
            "avalanche:ReplayPlugin:mem_size=3",
            "avalanche:ReplayPlugin cannot be used: it replays by Avalanche's data loader, which is not used here; er, "
            "derpp and agem replay",
        ),
        (
            "avalanche:MASPlugin:lambda=3",
            "'avalanche:MASPlugin:lambda=3' has no option 'lambda': did you mean 'lambda_reg'? valid options of "
            "avalanche are plugin, lambda_reg, alpha, verbose, bn, optimizer, lr, momentum, weight_decay, clip, "
            "schedule, warmup_epochs, layer_decay, patience, keep",
        ),
        ("avalanche:MASPlugin:alpha=x", "'avalanche:MASPlugin:alpha=x': option alpha=x is not a number"),
        (
            "avalanche:GEMPlugin:patterns_per_experience=3",
            "'avalanche:GEMPlugin:patterns_per_experience=3' needs MEMORY_STRENGTH: write "
            "avalanche:GEMPlugin:patterns_per_experience=3:memory_strength=MEMORY_STRENGTH",
        ),
        (
            "avalanche:EWCPlugin:ewc_lambda=1:mode=x",
            "'avalanche:EWCPlugin:ewc_lambda=1:mode=x': AssertionError: Mode must be separate or online.",
        ),
        (
            "avalanche:MASPlugin:bn=per-task",
            "'avalanche:MASPlugin:bn=per-task': option bn=per-task is not one of shared, frozen: one pass serves "
            "several tasks",
        ),
        (
            "avalanche:no_package.Plugin",
            "avalanche:no_package.Plugin: no_package cannot be imported: ModuleNotFoundError: No module named "
            "'no_package'",
        ),
    ],
)
def test_what_cannot_be_used_is_one_sentence(text: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        configure(text)
    assert str(caught.value) == says


def test_gem_asks_for_its_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(avalanche_plugins, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^avalanche:GEMPlugin needs the package quadprog: pip install quadprog$"):
        configure(f"avalanche:GEMPlugin:{GEM}")


class Own(SupervisedPlugin):
    """A plugin of another package, with options of all kinds."""

    def __init__(
        self,
        size: int,
        rate=0.5,
        count=3,
        limit=None,
        word="a",
        flag=False,
        kind: Literal["x", "y"] = "x",
        share: float | list[float] | None = None,
        names: list[str] | None = None,
        words=("a", "b"),
        keeps: str = "",
        lr: float = 1.0,
        **others,
    ):
        super().__init__()
        self.options = {"size": size, "rate": rate, "count": count, "limit": limit, "word": word, "flag": flag}
        self.options |= {"kind": kind, "share": share, "names": names, "words": words, "lr": lr}
        self.keeps, self.kept, self.function = keeps, None, lambda x: x

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        if self.keeps == "data":
            self.kept = [0, {"all": strategy.experience.dataset}]
        if self.keeps == "queue":
            self.kept = deque([1])
        if self.keeps == "function":
            self.function = lambda x: x + 1
        if self.keeps == "values":
            self.kept = strategy.loss.tolist()
        if self.keeps == "copy":
            strategy.model.eval().requires_grad_(False)
            self.kept = copy.deepcopy(strategy.model)

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        if self.keeps == "loader":
            strategy.dataloader = []
        if self.keeps == "random":
            self.kept = [random.random(), np.random.rand(), torch.rand(()).item()]
        if self.keeps == "copy" and self.kept:
            assert strategy.model.training
            assert not self.kept.training
            assert not any(parameter.requires_grad for parameter in self.kept.parameters())


class NeedsModel(SupervisedPlugin):
    def __init__(self, model: nn.Module):
        super().__init__()


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> str:
    """The specification of a plugin of another package."""
    module = ModuleType("own_plugins")
    module.Own, module.NeedsModel, module.number = Own, NeedsModel, 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_plugins", module)
    return "avalanche:own_plugins.Own"


def test_options_are_those_of_the_constructor_that_can_be_written(own: str) -> None:
    """Without an annotation the default decides; a whole number may get a fraction. The recipe's lr goes first."""
    configured = configure(f"{own}:size=2:rate=1:count=1.5:limit=4:flag=true:kind=y:share=0.25:lr=0.125:bn=frozen")
    assert option_types(configured.cls) == {
        "plugin": str,
        "size": int,
        "rate": float,
        "count": int | float,
        "limit": int | float | None,
        "word": str,
        "flag": bool,
        "kind": Literal["x", "y"],
        "share": float | None,
        "keeps": str,
        "bn": Literal["shared", "frozen"],
    }
    method = configured.make()
    assert isinstance(method, AvalanchePlugin)
    given = {"size": 2, "rate": 1, "count": 1.5, "limit": 4, "word": "a", "flag": True, "kind": "y", "share": 0.25}
    assert option_values(method) == {"plugin": "own_plugins.Own", **given, "keeps": "", "bn": "frozen"}
    assert method.make_plugin().options == {**given, "names": None, "words": ("a", "b"), "lr": 1.0}
    assert configured.recipe == replace(AvalanchePlugin.recipe, lr=0.125)
    assert configure("avalanche:MASPlugin").cls.__doc__ == MASPlugin.__doc__


def test_a_plugin_that_needs_more_than_options_is_refused(own: str) -> None:
    with pytest.raises(UserError, match=r"^NeedsModel needs 'model', which cannot be given as an option$"):
        configure("avalanche:own_plugins.NeedsModel")
    with pytest.raises(UserError, match=r"unknown plugin 'number': known are NeedsModel, Own$"):
        configure("avalanche:own_plugins.number")


def test_annotations_that_only_type_checkers_understand_are_passed_over(
    monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    annotations = {**inspect.get_annotations(Own.__init__), "share": "nowhere.Share"}
    monkeypatch.setattr(Own.__init__, "__annotations__", annotations)
    assert option_types(configure(f"{own}:size=1").cls)["share"] == int | float | None


@pytest.mark.parametrize(
    ("keeps", "says"),
    [
        ("data", "Own.kept.1.all is a TaskAwareSupervisedClassificationDataset, which cannot be stored"),
        ("queue", "Own.kept is a deque, which cannot be stored from one task to the next"),
        ("function", "Own.function is a function, which cannot be stored from one task to the next"),
        ("loader", "own_plugins.Own replaces the model or the training data, which has no effect here"),
    ],
)
def test_what_a_plugin_may_not_do_is_said_in_the_first_task(
    keeps: str, says: str, own: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    cell = make_cell(f"{own}:size=1", keeps=keeps)
    with pytest.raises(UserError, match=f"^{says}"):
        learn(cell, start(cell), tiny_tasks[0], PLAIN)


def test_a_copy_stays_as_it_was_though_the_model_begins_anew(
    own: str, make_cell: Callable[..., Cell], states: Callable[..., list[State]], tiny_tasks: tuple[Task, ...]
) -> None:
    """The plugin itself looks at it, at the beginning of each task."""
    assert len(states(make_cell(f"{own}:size=1", keeps="copy"), tiny_tasks)) == 3


def test_random_numbers_come_from_the_seed(
    own: str, make_cell: Callable[..., Cell], states: Callable[..., list[State]], tiny_tasks: tuple[Task, ...]
) -> None:
    kept = []
    for seed in (0, 0, 1):
        (state,) = states(make_cell(f"{own}:size=1", seed=seed, keeps="random"), tiny_tasks[:1])
        structure = json.loads(bytes(state.memory["structure"].tolist()))
        kept.append(structure["Own"][1]["kept"][1])
    assert kept[0] == kept[1]
    assert all(a != b for a, b in zip(kept[0], kept[2], strict=True))


def test_a_simulation_that_needs_values_says_so(
    own: str, make_cell: Callable[..., Cell], tiny_network: Network
) -> None:
    cell = make_cell(f"{own}:size=1", tiny_network.to("meta"), keeps="values")
    cell = replace(cell, device=torch.device("meta"))
    images = LabelledImages(torch.zeros(8, 3, 8, 8, dtype=torch.uint8), torch.zeros(8, dtype=torch.int64))
    task = Task("t", ("a", "b"), LabelledImages(images.images.to("meta"), images.labels.to("meta")), images, images)
    with pytest.raises(UserError, match=r"^what own_plugins\.Own costs is only known by running it: NotImpl"):
        learn(cell, start(cell), task, replace(PLAIN, dry=True))


def test_without_a_specification_the_class_does_as_well() -> None:
    method = AvalanchePlugin("MASPlugin", alpha=0.25)
    assert (method.alpha, method.make_plugin().alpha) == (0.25, 0.25)  # type: ignore[attr-defined]
    spec = parse_spec("avalanche:MASPlugin")
    assert isinstance(construct(AvalanchePlugin, spec), AvalanchePlugin)
