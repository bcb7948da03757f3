"""Small things that many tests need: tiny tasks and networks, on which everything takes milliseconds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmark.images.labelled import LabelledImages
from benchmark.learning.learner import Cell
from benchmark.streams.base import Task
from methods.configured import configure
from methods.network import Network
from methods.options import option_values

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers, and what they start, would fight for the cores with threads of their own.
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test reads or writes the user's cache folder."""
    with pytest.MonkeyPatch.context() as patched:
        folder = tmp_path_factory.mktemp("cache")
        patched.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets and backbones beside a developer's checkout."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("the real data sets and backbones of ../shared/data are not here")
    return folder


def make_images(count: int, classes: int, size: int, seed: int) -> LabelledImages:
    """Noise whose mean colour depends on the class, so that a tiny network can learn it."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    colours = torch.randint(40, 216, (classes, 3), generator=random)
    noise = torch.randint(-40, 40, (count, 3, size, size), generator=random)
    images = (colours[labels][:, :, None, None] + noise).clamp(0, 255).to(torch.uint8)
    return LabelledImages(images, labels)


def make_task(number: int, classes: int, size: int = 8, train: int = 40) -> Task:
    names = tuple(f"class-{index}" for index in range(classes))
    splits = (make_images(count, classes, size, 10 * number + i) for i, count in enumerate((train, 8, 20)))
    return Task(f"task-{number}", names, *splits)


@pytest.fixture(scope="session")
def tiny_tasks() -> tuple[Task, ...]:
    """Three tasks of 3, 2 and 4 classes at 8x8."""
    return tuple(make_task(number, classes) for number, classes in ((1, 3), (2, 2), (3, 4)))


class TinyBackbone(nn.Sequential):
    """Two convolutions, one of them 1x1, with batch normalisation: 3 -> 6 -> 5 features."""

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


@pytest.fixture
def tiny_network() -> Network:
    """A network on TinyBackbone with random weights, in single precision, without heads."""
    torch.manual_seed(0)
    return Network(TinyBackbone(), feature_dim=5, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


@pytest.fixture
def make_cell(tiny_network: Network) -> Callable[..., Cell]:
    """make_cell("ewc", strength=3.0) -> a cell of that method, given as a specification, on the tiny network."""

    def make(spec: str, network: Network | None = None, seed: int = 0, **options: object) -> Cell:
        configured = configure(spec)
        values = option_values(configured.make()) | options
        return Cell(network or tiny_network, lambda: configured.cls(**values), 4, seed, torch.device("cpu"))

    return make
