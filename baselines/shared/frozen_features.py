"""The common base of the classifiers that are computed from frozen features, without a gradient step."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, pad

from methods import Part, Step
from methods.devices import double, precise
from methods.method import Method


class FrozenFeatures(Method):
    """A frozen backbone in evaluation mode. What is learned of its features are sums, from which the head is computed.

    The classifier is linear in the features, so that it is the network's head: one for all tasks, or one per task. Sums
    are made in double precision, and kept in that of the network's weights.
    """

    learns_in_steps = False
    search = {}

    def part(self, module: nn.Module, name: str) -> Part:
        return "frozen"


def units_of(step: Step, labels: Tensor) -> Tensor:
    """The unit of each label [n] of the new task among all units of the heads that are there."""
    return labels + step.model.heads.rows[step.model.head_key].start


def members(step: Step, labels: Tensor) -> Tensor:
    """Float64 [n, units]: 1 at the unit of each label of the new task, 0 elsewhere."""
    units = step.model.heads.units
    return double(one_hot(units_of(step, labels), units))


def grown(kept: Tensor | None, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """What was kept, in double precision, with zeros behind it in each dimension up to `shape`.

    Args:
        kept: a tensor with as many dimensions; None is nothing but zeros.
        shape: the new shape.
        like: a tensor on the device of the result, if that has double precision.
    """
    if kept is None:
        return torch.zeros(shape, dtype=torch.float64, device=precise(like.device))
    missing = [(0, new - old) for new, old in zip(shape, kept.shape, strict=True)]
    return pad(double(kept), [size for pair in reversed(missing) for size in pair])
