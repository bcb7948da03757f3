"""A first pass through a backbone as it was given, which says what prompts the second pass has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from methods.heads import logits_of


class Place(Protocol):
    """Where prompts take part in a pass; None for no prompts."""

    prompt: Any


class TwoPasses:
    """Each pass through a backbone becomes two: the first one, without prompts, gives each image's query.

    The query is the feature vector of the backbone as given, in evaluation mode and without a gradient. So an image's
    prompts depend on that image alone.

    Args:
        places: where the prompts take part.
        prompts: queries [N, Q] -> the prompts of each place. A bound method of what is copied with the network.

    Attributes:
        query: the queries of the last pass with a gradient: [N, Q].
    """

    query: Tensor

    def __init__(self, places: Sequence[Place], prompts: Callable[[Tensor], Sequence[Any]]):
        self.places = list(places)
        self.prompts = prompts
        self._asking = False

    def add(self, backbone: nn.Module) -> None:
        """Let it happen in each pass from now on."""
        backbone.register_forward_pre_hook(self._ask)
        backbone.register_forward_hook(self._forget, always_call=True)

    def _ask(self, backbone: nn.Module, inputs: tuple[Any, ...]) -> None:
        if self._asking:
            return
        self._asking = True
        try:
            with torch.no_grad(), _evaluating(backbone):
                query = backbone(*inputs)
        finally:
            self._asking = False
        if torch.is_grad_enabled():
            self.query = query
        for place, prompt in zip(self.places, self.prompts(query), strict=True):
            place.prompt = prompt

    def _forget(self, backbone: nn.Module, inputs: Any, features: Any) -> None:
        # A network with intermediate results cannot be copied.
        for place in () if self._asking else self.places:
            place.prompt = None


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Use evaluation mode, and afterwards the mode that each module had."""
    training = [module for module in network.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def cosines(query: Tensor, keys: Tensor) -> Tensor:
    """The cosine [N, M] between each query [N, Q] and each key [M, Q], in the format of the keys."""
    return logits_of(normalize(query.to(keys.dtype), dim=-1), normalize(keys, dim=-1))


def nearest(similarity: Tensor, count: int) -> Tensor:
    """The numbers of the keys with the largest similarity [N, M], the largest first: int64 [N, count].

    Of equal ones, the first keys are chosen, on each device.
    """
    return similarity.sort(dim=1, descending=True, stable=True).indices[:, :count]
