"""The features of a task's images, computed once where nothing but the head is trained."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmark.batches import in_order
from benchmark.cost import OperationCounter
from benchmark.model import Network
from benchmark.precision import Precision, computing
from benchmark.streams.base import LabelledImages


@dataclass(frozen=True)
class Features:
    """A task's images as a frozen backbone sees them.

    Attributes:
        data: features float32 [N, D] in the place of images, and labels, on the training device.
        operations: floating-point operations that they took.
    """

    data: LabelledImages
    operations: int


@torch.no_grad()
def precompute(network: Network, data: LabelledImages, device: torch.device, precision: Precision) -> Features:
    """One pass of all images through the backbone, in evaluation mode."""
    training = network.training
    network.eval()
    with OperationCounter() as counter, computing(precision, device):
        parts = [(network.features(images).float(), labels) for images, labels in in_order(data, device)]
    network.train(training)
    features, labels = (torch.cat(column) for column in zip(*parts, strict=True))
    return Features(LabelledImages(features, labels), counter.get_total_flops())
