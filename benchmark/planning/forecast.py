"""How long a run takes on this machine, and what it leaves on the disk."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import torch
from torch.nn.functional import cross_entropy

from benchmark.learning.clock import wait_for
from benchmark.learning.operations import training_operations_per_image
from benchmark.learning.precision import Precision, arithmetic, computing
from benchmark.planning.estimate import StreamShape
from methods.network import Network

# Images of the first step, and of those that are timed if that took so many seconds or more.
_FEW, _QUICK = 8, 0.5
# How many steps are timed.
_STEPS = 2


@dataclass(frozen=True)
class Speed:
    """How fast this machine trains a network.

    Attributes:
        device: as "cpu".
        images_per_second: of plain fine-tuning.
        operations_per_second: the same, in the operations that the accounting counts.
    """

    device: str
    images_per_second: float
    operations_per_second: float


def measure_speed(
    backbone: Network,
    classes: int,
    image_size: int,
    batch_size: int,
    device: torch.device,
    precision: Precision = "fp32",
    clock: Callable[[], float] = time.perf_counter,
) -> Speed:
    """Time a few steps of plain fine-tuning on random images.

    Args:
        backbone: any values; it is copied.
        classes: of the head.
        image_size: height and width.
        batch_size: images of a step.
        device: where it is computed.
        precision: of the arithmetic.
        clock: seconds.

    Raises:
        UserError: the backbone cannot take images of that size.
    """
    operations = training_operations_per_image(backbone, classes, image_size)
    network = copy.deepcopy(backbone)
    network.heads.add("timed", classes)
    network.use_head("timed", classes)
    network.to(device).train().requires_grad_(True)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-6)

    def seconds(images: int, steps: int) -> float:
        shape = (images, backbone.channels, image_size, image_size)
        batch = torch.randint(256, shape, dtype=torch.uint8, device=device)
        labels = torch.arange(images, device=device) % classes
        wait_for(device)
        start = clock()
        for _ in range(steps):
            optimizer.zero_grad()
            with computing(precision, device):
                logits = network(batch)
            cross_entropy(logits.float(), labels).backward()
            optimizer.step()
        wait_for(device)
        return clock() - start

    with arithmetic(precision, device):
        # The first step also loads kernels. Whole batches are timed only where they are quick.
        images = batch_size if seconds(min(_FEW, batch_size), 1) < _QUICK else min(_FEW, batch_size)
        seconds(images, 1)
        rate = _STEPS * images / seconds(images, _STEPS)
    return Speed(device.type, rate, rate * operations)


def forecast(parameters: pd.DataFrame, compute: pd.DataFrame, speed: Speed, repetitions: int = 1) -> pd.DataFrame:
    """What each method takes: the columns method, seconds and disk_bytes.

    Args:
        parameters, compute: from `estimate`.
        speed: of this machine.
        repetitions: seeds in orders.
    """
    return pd.DataFrame(
        {
            "method": compute["method"],
            "seconds": repetitions * compute["training_flops"] / speed.operations_per_second,
            # Frozen tensors are referred to, and not stored.
            "disk_bytes": repetitions * (parameters["state_bytes"] - parameters["frozen_bytes"]),
        }
    )


def decoded_bytes(shape: StreamShape, channels: int = 3) -> int:
    """What the decoded training images of a stream take in the cache."""
    return shape.tasks * shape.images * channels * shape.image_size**2
