"""Makes tiny tasks and a tiny network, so that each check is fast."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import nn
from torchvision.models import VisionTransformer

from benchmark.images.labelled import LabelledImages
from benchmark.streams.base import Stream, Task
from benchmark.streams.columns import in_columns
from methods.network import Network
from methods.scenarios import Scenario


def make_images(count: int, classes: int, size: int, seed: int) -> LabelledImages:
    """Return noise whose mean colour depends on the class, so that a tiny network can learn it."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    colours = torch.randint(40, 216, (classes, 3), generator=random)
    noise = torch.randint(-40, 40, (count, 3, size, size), generator=random)
    images = (colours[labels][:, :, None, None] + noise).clamp(0, 255).to(torch.uint8)
    return LabelledImages(images, labels)


def make_task(number: int, classes: int, size: int = 8, train: int = 40) -> Task:
    """Return a task with `classes` classes. Its number determines its images."""
    names = tuple(f"class-{index}" for index in range(classes))
    splits = (make_images(count, classes, size, 10 * number + i) for i, count in enumerate((train, 8, 20)))
    return Task(f"task-{number}", names, *splits)


def three_tasks(scenario: Scenario = "task", size: int = 8) -> tuple[Task, ...]:
    """Return three tasks with 3, 2 and 4 classes, at 8x8 unless given; in the scenario "domain" with 3 classes each."""
    widths = (3, 3, 3) if scenario == "domain" else (3, 2, 4)
    tasks = tuple(make_task(number, classes, size) for number, classes in enumerate(widths, 1))
    return in_columns(Stream("tiny", tasks), scenario).tasks


def without_data(task: Task) -> Task:
    """Return a task of the same shape on the device "meta"."""
    splits = (
        LabelledImages(d.images.to("meta"), d.labels.to("meta")) for d in (task.train, task.validation, task.test)
    )
    return Task(task.name, task.classes, *splits)


class TinyBackbone(nn.Sequential):
    """Two convolutions, one of them 1x1, with batch normalisation: 3 -> 6 -> 5 features."""

    features = 5

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 6, 3, padding=1, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Conv2d(6, 5, 1, bias=False),
            nn.BatchNorm2d(5),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        for module in self:
            if isinstance(module, nn.BatchNorm2d):
                module.num_batches_tracked = None


class SpareBackbone(TinyBackbone):
    """Has layers that the forward pass does not use, for example unused auxiliary classifiers."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Conv2d(4, 7, 3)
        self.auxiliary = nn.Linear(5, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        for name, module in self.named_children():
            if name not in ("spare", "auxiliary"):
                images = module(images)
        return images


class TinyTransformer(VisionTransformer):
    """Five blocks with tokens of 8, four of them for the patches of an image of 8x8."""

    features = 8

    def __init__(self) -> None:
        super().__init__(8, 4, num_layers=5, num_heads=2, hidden_dim=self.features, mlp_dim=16)
        self.heads = nn.Flatten(1)


class SpareTransformer(TinyTransformer):
    """Has layers that the forward pass does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Conv2d(4, 7, 3)
        self.auxiliary = nn.Linear(8, 10)


Backbones: TypeAlias = tuple[type[TinyBackbone | TinyTransformer], ...]

#: The tiny networks: each with one that has layers to spare.
TINY: tuple[Backbones, ...] = ((TinyBackbone, SpareBackbone), (TinyTransformer, SpareTransformer))


def tiny_network(backbone: type[TinyBackbone | TinyTransformer] = TinyBackbone) -> Network:
    """Return a network with fixed random weights in single precision, without heads."""
    torch.manual_seed(0)
    return Network(backbone(), feature_dim=backbone.features, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
