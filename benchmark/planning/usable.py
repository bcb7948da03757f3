"""Which methods can be used on a backbone. The others are refused, or left out of their group, before training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress

import torch

from benchmark.config import Settings
from benchmark.learning.learner import Cell, prepare
from benchmark.planning.scenarios import learned_as
from methods.configured import ConfiguredMethod
from methods.errors import UserError
from methods.method import Method
from methods.mistakes import misspelt_hooks
from methods.network import Network
from methods.scenarios import Scenario
from methods.transformers import blocks


def usable(
    settings: Settings, configured: Sequence[ConfiguredMethod], backbone: Network, warn: Callable[[str], None]
) -> tuple[ConfiguredMethod, ...]:
    """Return the methods that can be used on a backbone, without those that a group stands for and that cannot.

    Args:
        settings: give the scenario, and the backbone's name.
        configured: the methods.
        backbone: the run's; it is not changed.
        warn: called with one line of text for each method that is left out.

    Raises:
        UserError: a method that the user named cannot be used, or none is left.
    """
    pristine = copy.deepcopy(backbone).to("meta")
    tried = [(method, refusal(pristine, method, settings.scenario)) for method in configured]
    refused = [(method.spec, error) for method, error in tried if error is not None]
    for spec, error in refused:
        if not spec.group:
            raise error
    if len(refused) == len(tried):
        groups = ",".join(dict.fromkeys(spec.group for spec, _ in refused))
        first = refused[0][1]
        raise UserError(f"--methods {groups}: nothing of it can be used with --backbone {settings.backbone}: {first}")
    for spec, error in refused:
        warn(f"--methods {spec.group} goes on without {spec}: {error}")
    found = tuple(method for method, error in tried if error is None)
    for method in found:
        for said in misspelt_hooks(method.cls):
            warn(f"'{method.label}': {said}")
        if changes_nothing(pristine, method, settings.scenario):
            warn(
                f"'{method.label}' finds nothing to change in --backbone {settings.backbone}: it trains heads alone, "
                "as linear-probe does"
            )
    return found


def changes_nothing(pristine: Network, method: ConfiguredMethod, scenario: Scenario = "task") -> bool:
    """Whether a method that means to change a network, as its `adapt` says, leaves this one as it is.

    Args:
        pristine: the backbone, on the device "meta".
    """
    if method.cls.adapt is Method.adapt or not method.cls.learns_in_steps:
        return False
    # Errors are reported where the method learns.
    with suppress(Exception):
        return set(prepare(_cell(pristine, method, scenario), 1).parts.values()) == {"frozen"}
    return False


def _cell(pristine: Network, method: ConfiguredMethod, scenario: Scenario) -> Cell:
    learned = learned_as(scenario, method)
    return Cell(pristine, method.make, 2, 0, torch.device("meta"), scenario=learned, widths=(2,))


def refusal(pristine: Network, method: ConfiguredMethod, scenario: Scenario = "task") -> UserError | None:
    """Return why a method cannot be used on a backbone in a scenario; None if it can.

    Args:
        pristine: the backbone, on the device "meta".
    """
    if method.cls.learns_in_steps and method.recipe.layer_decay != 1 and not blocks(pristine):
        return UserError(
            f"'{method.label}': layer_decay={method.recipe.layer_decay:g} is for the blocks of a transformer, and this "
            "backbone has none; leave it out"
        )
    # Other errors are the method's own: its cells fail, and report them.
    with suppress(Exception):
        try:
            prepare(_cell(pristine, method, scenario), 1)
        except UserError as error:
            return error
    return None
