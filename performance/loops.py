"""The loops that are compared: the harness's own, and a bare PyTorch loop."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LambdaLR

from benchmark.images.labelled import LabelledImages
from benchmark.images.layout import MemoryFormat, laid_out, lay_out
from benchmark.learning.learner import Cell, LearnedTask, learn, start
from benchmark.learning.precision import computing
from benchmark.learning.training import Training, decay, make_optimizer
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods.configured import configure
from methods.network import Network

CPU = torch.device("cpu")


def cell_of(
    method: str,
    network: Network,
    classes: int,
    seed: int = 0,
    device: torch.device = CPU,
    memory_format: MemoryFormat = "channels-last",
) -> Cell:
    """The cell of a method, given as a specification, on `network`."""
    return Cell(network, configure(method).make, classes, seed, device, memory_format=memory_format)


def noise_task(number: int, images: int, size: int, classes: int, channels: int = 3) -> Task:
    """A task of noise: the time of a step does not depend on what the images show."""
    random = torch.Generator().manual_seed(number)
    pixels = torch.randint(0, 256, (images, channels, size, size), generator=random, dtype=torch.uint8)
    data = LabelledImages(pixels, torch.randint(0, classes, (images,), generator=random))
    return Task(f"task-{number}", tuple(map(str, range(classes))), data, data, data)


def seconds_per_step(ends: list[float], steps: int) -> list[float]:
    """Seconds per step of each epoch after the first; in the first, the harness counts operations.

    Args:
        ends: when each epoch ended.
        steps: per epoch.
    """
    return [(end - begin) / steps for begin, end in pairwise(ends)]


def harness_loop(cell: Cell, state: State, task: Task, training: Training) -> tuple[list[float], LearnedTask]:
    """Learn a task in the harness: seconds per step of each epoch after the first, and what was learned."""
    ends: list[float] = []
    learned = learn(cell, state, task, training, lambda: ends.append(time.perf_counter()))
    return seconds_per_step(ends, learned.steps // training.epochs), learned


def harness_tasks(cell: Cell, tasks: Sequence[Task], training: Training) -> list[list[float]]:
    """Learn tasks in turn in the harness: of each task after the first, what `harness_loop` times."""
    state, seconds = learn(cell, start(cell), tasks[0], training).state, []
    for task in tasks[1:]:
        own, learned = harness_loop(cell, state, task, training)
        state = learned.state
        seconds.append(own)
    return seconds


class BareNetwork(nn.Module):
    """A copy of a network's backbone, its normalisation, and one head: uint8 images [N, C, S, S] -> logits."""

    def __init__(self, network: Network, classes: int):
        super().__init__()
        self.backbone = copy.deepcopy(network.backbone)
        self.head = nn.Linear(network.feature_dim, classes)
        self.scale, self.shift = network.get_buffer("scale"), network.get_buffer("shift")

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(torch.addcmul(self.shift, images.float(), self.scale)))


def bare_loop(
    model: nn.Module,
    data: LabelledImages,
    training: Training,
    device: torch.device = CPU,
    memory_format: MemoryFormat = "channels-last",
    on_epoch: Callable[[], None] = lambda: None,
) -> tuple[list[float], float]:
    """Train what requires gradients without the harness, with the same optimiser, schedule and clipping.

    Args:
        model: is moved to `device`.
        data: the images and their labels.
        training: as the harness's.
        device: where to train.
        memory_format: how images and weights lie in memory.
        on_epoch: called after each epoch.

    Returns:
        Seconds per step of each epoch after the first, and the mean loss of the last epoch.
    """
    model.to(device)
    lay_out((*model.parameters(), *model.buffers()), memory_format)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = make_optimizer(parameters, training.recipe, device)
    schedule = LambdaLR(optimizer, decay(training))
    model.train()
    ends = []
    for _ in range(training.epochs):
        order = torch.randperm(len(data))
        # The data are small: shuffling all of them at once is the fastest way.
        images = laid_out(data.images[order].to(device), memory_format)
        labels_of = data.labels[order].to(device)
        batches = list(zip(*(part.split(training.batch_size) for part in (images, labels_of)), strict=True))
        losses = []
        for batch, labels in batches:
            optimizer.zero_grad()
            with computing(training.precision, device):
                loss = cross_entropy(model(batch), labels)
            loss.backward()
            if training.recipe.clip:
                nn.utils.clip_grad_norm_(parameters, training.recipe.clip)
            optimizer.step()
            losses.append(loss.detach())
        schedule.step()
        # This waits for the device.
        mean_loss = float(torch.stack(losses).mean())
        ends.append(time.perf_counter())
        on_epoch()
    return seconds_per_step(ends, len(batches)), mean_loss
