"""The features of a task's images, computed once if only the head is trained."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmark.images.batches import in_order
from benchmark.images.layout import MemoryFormat
from benchmark.learning.clock import Clock
from benchmark.learning.precision import Precision, computing
from methods.data import Samples
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
    training = network.training
    network.eval()
    if device.type == "cuda":
        # The first pass of a process loads kernels, which takes seconds.
        with clock.stopped(), computing(precision, device):
            network.features(data.images[:1].to(device))
    with clock.counting() as counter, computing(precision, device):
        for images, _ in in_order(data, device, memory_format):
            features[done : done + len(images)] = network.features(images)
            done += len(images)
    network.train(training)
    return Features(Samples(features, data.labels.to(device)), counter.get_total_flops())
