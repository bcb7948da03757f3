"""The features of a task's images, computed once if only the head is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.images.batches import in_order
from benchmark.images.layout import MemoryFormat
from benchmark.learning.clock import Clock
from benchmark.learning.counter import OperationCounter, count_again
from benchmark.learning.precision import Precision, computing
from methods.data import Samples
from methods.devices import is_gpu
from methods.network import Network


@dataclass(frozen=True)
class Features:
    """A task's images as a frozen backbone sees them.

    Attributes:
        data: features [N, D] instead of images, with the labels, on the training device.
        operations: floating-point operations to compute them.
    """

    data: Samples
    operations: int


@torch.no_grad()
def precompute(
    network: Network,
    data: Samples,
    device: torch.device,
    precision: Precision,
    clock: Clock | None = None,
    memory_format: MemoryFormat = "channels-last",
) -> Features:
    """Pass all images once through the backbone, in evaluation mode.

    Args:
        clock: the clock of the training, if there is one.
    """
    clock = clock or Clock(device)
    features = torch.empty(len(data), network.feature_dim, dtype=network.scale.dtype, device=device)
    done = 0
    warm_up(network, data, device, precision, clock)
    with clock.counting() as counter:
        for own, _ in features_in_order(network, data, device, precision, memory_format):
            features[done : done + len(own)] = own
            done += len(own)
    return Features(Samples(features, data.labels.to(device)), counter.get_total_flops())


@torch.no_grad()
def features_in_order(
    network: Network, data: Samples, device: torch.device, precision: Precision, memory_format: MemoryFormat
) -> Iterator[tuple[Tensor, Tensor]]:
    """Features [n, D] and labels [n] of all images in their order, in large batches, in evaluation mode."""
    training = network.training
    passed = _once_for_each_size(network) if device.type == "meta" else network.features
    for images, labels in in_order(data, device, memory_format):
        network.eval()
        with computing(precision, device):
            features = passed(images)
        network.train(training)
        yield features, labels


def _once_for_each_size(network: Network) -> Callable[[Tensor], Tensor]:
    """`network.features` for tensors without values: all batches of one size have the same features, at equal cost."""
    known: dict[int, tuple[Tensor, int]] = {}

    def features(images: Tensor) -> Tensor:
        if len(images) in known:
            found, operations = known[len(images)]
            network.passed += len(images)
            count_again(operations)
            return found
        with OperationCounter() as counter:
            found = network.features(images)
        known[len(images)] = found, counter.get_total_flops()
        return found

    return features


@torch.no_grad()
def warm_up(network: Network, data: Samples, device: torch.device, precision: Precision, clock: Clock) -> None:
    """Pass one image before the clock counts: on a GPU the first pass of a process loads kernels, for seconds."""
    if not is_gpu(device):
        return
    training = network.training
    network.eval()
    with clock.stopped(), computing(precision, device):
        network.features(data.images[:1].to(device))
    network.train(training)
