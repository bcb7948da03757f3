"""Any plugin of Avalanche as a method."""

from __future__ import annotations

import difflib
import importlib
import inspect
import random
import typing
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from importlib.util import find_spec
from types import NoneType, UnionType
from typing import Any, Literal, Union

import numpy as np
import torch
from avalanche.core import BaseSGDPlugin
from avalanche.models import avalanche_forward
from avalanche.training.plugins.clock import Clock
from avalanche.training.templates import SupervisedTemplate
from torch import Tensor

from baselines.avalanche.state import restore, store
from baselines.avalanche.view import AssumedValues, JointModel, TaskModel, experience_of, joint_head
from baselines.shared.finetuning import ALL_SCENARIOS, FineTuning, OnePassBN
from methods import Method, Recipe, Step, UserError, methods
from methods.errors import first_line
from methods.options import Spec
from methods.scenarios import Scenario

# A warning of Avalanche's own code when a head is added.
warnings.filterwarnings("ignore", message="Using a non-tuple sequence", module="avalanche")

_AVALANCHE = "avalanche.training.plugins"
_HOOKS = [name for name in dir(BaseSGDPlugin) if name.startswith(("before_", "after_")) and "_eval" not in name]

# Why some of Avalanche's plugins cannot be used.
_UNUSABLE = {
    "replays by Avalanche's data loader, which is not used here; er, derpp and agem replay": (
        *("AGEMPlugin", "BiCPlugin", "CoPEPlugin", "GDumbPlugin", "GSS_greedyPlugin", "GenerativeReplayPlugin"),
        *("MIRPlugin", "RARPlugin", "ReplayPlugin", "TrainGeneratorAfterExpPlugin"),
    ),
    "needs a classifier of its own in the model": (
        *("CWRStarPlugin", "CurrentDataFeCAMUpdate", "CurrentDataNCMUpdate", "FeCAMOracle", "MemoryFeCAMUpdate"),
        *("MemoryNCMUpdate", "NCMOracle"),
    ),
    "takes the weights themselves for copies of them on a CPU, so that nothing is important; si is not": (
        *("SynapticIntelligencePlugin",),
    ),
    "is no method of continual learning": ("EarlyStoppingPlugin", "LRSchedulerPlugin", "SupervisedPlugin"),
}

# Attributes that a plugin computes anew in every task before it uses them, so they need not be stored.
_SCRATCH = {
    "GEMPlugin": ("G",),
    "RWalkPlugin": ("checkpoint_params", "checkpoint_loss", "checkpoint_scores", "iter_grad", "iter_params"),
}

# Where a plugin is what it is in Avalanche, if not in all scenarios. LFL leaves the classifier of the first task as it
# was for good; here nothing but values is kept, and a head to which no class is added would be trained again.
_SCENARIOS: dict[str, tuple[Scenario, ...]] = {"LFLPlugin": ("task", "class")}

# Parameters with these names cannot be a plugin's options, because the names mean something else here.
_TAKEN = {"plugin", "bn", "kept", *Method.__annotations__, *Recipe.__annotations__}


@methods.register("avalanche")
class AvalanchePlugin(FineTuning):
    """A plugin of Avalanche, run as it is: `avalanche:MASPlugin:lambda_reg=1`.

    It acts on the whole network, and its penalties too, heads included. What it knows after a task is stored, counted,
    and restored for the next one. Plugins that change the training data, or keep anything other than tensors and simple
    values, are refused. Where one head answers for all tasks, Avalanche gets a model with one classifier, and all data
    have one task label. Importances then grow with that head, by zeros. FromScratchTrainingPlugin leaves it alone,
    because its shape changes.

    Args:
        plugin: its class's name in avalanche.training.plugins, or PACKAGE.MODULE.CLASS of another package.
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.
        options: the plugin's own options that are numbers, words, or true and false.
    """

    trains_old_heads = True

    def __init__(self, plugin: str, bn: OnePassBN = "shared", **options: Any):
        super().__init__(bn)
        self.plugin = plugin
        self.plugin_class = find_plugin(plugin)
        self.plugin_options = options
        for option in options_of(self.plugin_class):
            setattr(self, option.name, options.get(option.name, option.default))
        self.make_plugin()

    @classmethod
    def specialised(cls, spec: Spec) -> type[Method]:
        name = spec.positional or spec.options.get("plugin")
        if not name:
            return cls
        plugin = find_plugin(name)
        own = inspect.signature(cls, eval_str=True).parameters
        options = [p.replace(kind=p.KEYWORD_ONLY) for p in (*options_of(plugin), own["bn"])]

        class Specialised(cls):  # type: ignore[valid-type, misc]
            __doc__ = plugin.__doc__ or cls.__doc__
            __signature__ = inspect.Signature([own["plugin"], *options])
            scenarios = _SCENARIOS.get(plugin.__name__, ALL_SCENARIOS)

        return Specialised

    def make_plugin(self) -> BaseSGDPlugin:
        """A plugin that has not seen a task yet."""
        try:
            return self.plugin_class(**self.plugin_options)
        except (AssertionError, TypeError, ValueError) as error:
            raise ValueError(first_line(error)) from error

    def act(self, hook: str, step: Step) -> None:
        """Let the plugin act at this point of the training."""
        simulated = step.device.type == "meta"
        try:
            with AssumedValues() if simulated else nullcontext():
                getattr(self.learning, hook)(step)
        except NotImplementedError as error:
            if simulated:
                raise UserError(f"what {self.plugin} costs is only known by running it: {first_line(error)}") from error
            raise

    def before_training(self, step: Step) -> None:
        strategy = _as_avalanche(step)
        # They draw from these, which belong to the whole process.
        self.outside = random.getstate(), np.random.get_state()
        seed = int(torch.randint(2**31, (), generator=self.generator))
        random.seed(seed)
        np.random.seed(seed)
        knows_task = self.scenario == "task"
        strategy.model = TaskModel(step.model, self.task) if knows_task else JointModel(step.model)
        #: The label that Avalanche's models and data have for the task.
        self.task_label = self.task - 1 if knows_task else 0
        self.learning = self.make_plugin()
        if self.kept:
            known = self.knowing(self.learning, strategy.clock)
            restore(known, self.kept, strategy.model, strategy.model.twin)
        self.act("before_training", step)

    def before_train_dataset_adaptation(self, step: Step) -> None:
        strategy = _as_avalanche(step)
        network = strategy.model.network
        classes = range(network.classes) if self.scenario == "task" else joint_head(network).tasks[-1]
        strategy.experience = experience_of(step.task_data, classes, self.task - 1, self.task_label)
        strategy.adapted_dataset = strategy.experience.dataset
        self.act("before_train_dataset_adaptation", step)

    def before_training_exp(self, step: Step) -> None:
        strategy = _as_avalanche(step)
        before = strategy.model, strategy.dataloader, strategy.experience.dataset
        self.act("before_training_exp", step)
        after = strategy.model, strategy.dataloader, strategy.adapted_dataset
        if any(a is not b for a, b in zip(before, after, strict=True)):
            raise UserError(f"{self.plugin} replaces the model or the training data, which has no effect here")

    def before_training_iteration(self, step: Step) -> None:
        strategy = _as_avalanche(step)
        # On the CPU, so that the model can read them without waiting for the device.
        strategy.mbatch = [*strategy.mbatch, torch.full((len(step.labels),), self.task_label)]
        self.act("before_training_iteration", step)

    def forward(self, step: Step) -> Tensor:
        strategy = _as_avalanche(step)
        logits: Tensor = avalanche_forward(strategy.model, step.images, strategy.mb_task_id)
        return logits

    def after_training(self, step: Step) -> None:
        strategy = _as_avalanche(step)
        self.act("after_training", step)
        fresh = self.make_plugin()
        for scratch in _SCRATCH.get(self.plugin_class.__name__, ()):
            setattr(self.learning, scratch, getattr(fresh, scratch))
        strategy.model.settle()
        known = self.knowing(self.learning, strategy.clock)
        self.kept = store(known, self.knowing(fresh, Clock()), strategy.model)
        python, numpy = self.outside
        random.setstate(python)
        np.random.set_state(numpy)

    def knowing(self, plugin: BaseSGDPlugin, clock: Clock) -> dict[str, object]:
        """Objects that live through all tasks in Avalanche's own loop; here they are stored instead."""
        return {self.plugin_class.__name__: plugin, "Clock": clock}


def _as_avalanche(step: Step) -> SupervisedTemplate:
    """The same object, with the type that Avalanche's plugins know. Its model is a ModelView while it trains."""
    return step


def _passed_on(hook: str) -> Callable[..., None]:
    def pass_on(self: AvalanchePlugin, step: Step) -> None:
        self.act(hook, step)

    return pass_on


for _hook in _HOOKS:
    if _hook not in vars(AvalanchePlugin):
        setattr(AvalanchePlugin, _hook, _passed_on(_hook))


def find_plugin(name: str) -> type[BaseSGDPlugin]:
    """The class of a plugin: Avalanche's or, if the name says so, another package's.

    Raises:
        UserError: no plugin has that name, or it cannot be used here.
    """
    package, _, attribute = name.rpartition(".")
    try:
        module = importlib.import_module(package or _AVALANCHE)
    except Exception as error:  # whatever a package does when it is imported
        raise UserError(f"avalanche:{name}: {package} cannot be imported: {first_line(error)}") from error
    plugins = {key: v for key, v in vars(module).items() if isinstance(v, type) and issubclass(v, BaseSGDPlugin)}
    unusable = {plugin: reason for reason, names in _UNUSABLE.items() for plugin in names}
    if attribute not in plugins:
        usable = sorted(plugins.keys() - unusable.keys())
        close = difflib.get_close_matches(attribute, usable, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise UserError(f"avalanche:{name}: unknown plugin '{attribute}': {hint}known are {', '.join(usable)}")
    plugin = plugins[attribute]
    if plugin.__module__.startswith("avalanche."):
        if attribute in unusable:
            raise UserError(f"avalanche:{name} cannot be used: it {unusable[attribute]}")
        if attribute == "GEMPlugin" and find_spec("quadprog") is None:
            raise UserError(f"avalanche:{name} needs the package quadprog: pip install quadprog")
    return plugin


def options_of(plugin: type) -> list[inspect.Parameter]:
    """The parameters of a plugin's constructor that a specification can set, annotated with their types.

    Raises:
        UserError: the constructor needs a parameter that cannot be set so.
    """
    try:
        signature = inspect.signature(plugin, eval_str=True)
    except NameError:  # an annotation that only type checkers understand
        signature = inspect.signature(plugin)
    options = []
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        wanted = None if parameter.name in _TAKEN else _option_type(parameter)
        if wanted is not None:
            options.append(parameter.replace(annotation=wanted))
        elif parameter.default is parameter.empty:
            raise UserError(f"{plugin.__name__} needs '{parameter.name}', which cannot be given as an option")
    return options


def _option_type(parameter: inspect.Parameter) -> Any:
    """The annotation, else the default's type; None if an option cannot have that type."""
    annotation, default = parameter.annotation, parameter.default
    if annotation is parameter.empty or isinstance(annotation, str):
        if isinstance(default, (bool, float, str)):
            return type(default)
        if default is None:
            return int | float | None
        return int | float if default is parameter.empty or isinstance(default, int) else None
    alternatives = typing.get_args(annotation) if typing.get_origin(annotation) in (Union, UnionType) else (annotation,)
    simple = [a for a in alternatives if a in (bool, int, float, str) or typing.get_origin(a) is Literal]
    return Union[(*simple, *({NoneType} & set(alternatives)))] if simple else None
