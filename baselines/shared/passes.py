"""Several passes of an image through one backbone, each with other modules of the method."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from methods import Network, Step
from methods.heads import logits_of

#: The features [N, D] of each pass -> those of the image.
Join = Callable[[Sequence[Tensor]], Tensor]


class Switched(Protocol):
    """A module that takes part in a pass if it is active."""

    active: bool


def side_by_side(features: Sequence[Tensor]) -> Tensor:
    """[N, passes * D]."""
    return torch.cat(tuple(features), 1)


def units_side_by_side(features: Sequence[Tensor]) -> Tensor:
    """[N, passes * D], where the features of each pass have length 1."""
    return side_by_side([normalize(own) for own in features])


class Passes:
    """Lets each image pass through the backbone several times, and joins the features.

    The backbone is called again by a hook, so that the names of its tensors stay as they were.

    Args:
        turns: the modules that are active in each pass.
        join: a plain function, because networks are copied.
    """

    def __init__(self, turns: Sequence[Sequence[Switched]], join: Join = side_by_side):
        self.turns = turns
        self._join = join
        self._only: int | None = None
        self._within = False

    def add(self, network: Network) -> None:
        """Let it happen in each pass from now on."""
        network.backbone.register_forward_pre_hook(self._first)
        network.backbone.register_forward_hook(self._others)

    @contextmanager
    def only(self, turn: int) -> Iterator[None]:
        """Make one of the passes alone; its features are as the backbone gives them."""
        self._only = turn % len(self.turns)
        try:
            yield
        finally:
            self._only = None

    @contextmanager
    def joined_by(self, join: Join) -> Iterator[None]:
        """Join the features in another way."""
        before, self._join = self._join, join
        try:
            yield
        finally:
            self._join = before

    def _first(self, backbone: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if not self._within:
            self._activate(self._only or 0)

    def _others(self, backbone: nn.Module, inputs: tuple[Tensor, ...], features: Tensor) -> Tensor | None:
        if self._within or self._only is not None:
            return None
        found = [features]
        self._within = True
        try:
            for turn in range(1, len(self.turns)):
                self._activate(turn)
                found.append(backbone(*inputs))
        finally:
            self._within = False
        return self._join(found)

    def _activate(self, turn: int) -> None:
        for modules in self.turns:
            for module in modules:
                module.active = modules is self.turns[turn]


def logits_of_last(step: Step, passes: Passes) -> Tensor:
    """The minibatch's logits [B, classes] from the last pass alone, which is the only one that is made.

    The head has columns for the features of all passes: those of the last one are trained, and the others get no
    gradient.
    """
    model, heads = step.model, step.model.heads
    with passes.only(-1):
        features = model.features(step.images)
    weight, bias = heads.take(model.head_key).values()
    logits = logits_of(features, weight[:, -features.shape[1] :], bias)[:, : model.classes]
    return pad(logits[:, heads.closed :], (heads.closed, 0), value=float("-inf")) if heads.closed else logits
