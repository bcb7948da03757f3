"""What tests on the pretended GPU share: all variants of all methods, a narrow ResNet-18, and launches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median_low
from typing import Any, Literal, get_args, get_origin

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from benchmark.checks.gpu import learn_on_gpu
from benchmark.checks.pretended.cuda import pretended_gpu
from benchmark.learning.learner import Cell
from benchmark.learning.training import Training
from benchmark.streams.base import Task
from methods import methods
from methods.network import Network
from methods.options import option_defaults, option_types, value_text

#: What no declared type of an option tells: other optimisers, small memories, other libraries' plugins.
MORE = (
    *(
        "sgd:optimizer=adam",
        "sgd:optimizer=adamw",
        "sgd:optimizer=rmsprop",
        "sgd:warmup_epochs=1",
        "sgd:clip=0",
        "sgd:momentum=0",
        "clr:clip=1",
    ),
    *("er:memory=3", "derpp:memory=2KB", "agem:memory=2KB", "hat:smax=20", "lwf:warmup=2"),
    *("avalanche:MASPlugin", "avalanche:EWCPlugin:ewc_lambda=1", "avalanche:LwFPlugin"),
)


def variants() -> Iterator[str]:
    """Each registered method, and once with each other word or truth value that one of its options can have."""
    # "avalanche" alone names no plugin.
    for name in (name for name in methods.names() if name != "avalanche"):
        yield name
        cls = methods.get(name)
        for option, kind in option_types(cls).items():
            words: tuple[Any, ...] = get_args(kind) if get_origin(kind) is Literal else ()
            words = (True, False) if kind is bool else words
            for word in words:
                if word != option_defaults(cls)[option] and not refused(cls, option, word):
                    yield f"{name}:{option}={value_text(word) if isinstance(word, bool) else word}"
    yield from MORE


def refused(cls: type, option: str, word: Any) -> bool:
    """Whether a method does not have this value of an option that its base class declares for several methods."""
    try:
        cls(**{option: word})
    except ValueError:
        return True
    return False


class NarrowResNet18(ResNet):
    """ResNet-18 with a sixteenth of its channels, so that it launches the same kernels in little time."""

    def __init__(self) -> None:
        super().__init__(BasicBlock, [2, 2, 2, 2])
        self.fc = nn.Identity()

    def _make_layer(self, block: type, planes: int, *args: Any, **kwargs: Any) -> nn.Sequential:
        return super()._make_layer(block, planes // 16, *args, **kwargs)


def narrow_resnet18() -> Network:
    """The network for images of 32x32; its parameters are random."""
    torch.manual_seed(0)
    backbone = NarrowResNet18()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.num_batches_tracked = None
    return Network(backbone, 32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def launches_per_step(cell: Cell, tasks: Sequence[Task], training: Training) -> int:
    """Return how many kernels a step of the last task launches, as counted on a pretended GPU.

    An operator counts as one launch, also if it works on a list of tensors (`torch._foreach_...`, a fused optimiser),
    although a real GPU may need several. Operators that only look at a tensor in another way count as none. Work that
    is done once per chunk of images or per epoch is not counted, nor is the first step.

    Args:
        cell: a cell of any device.
        tasks: the tasks to learn, from the first one on; the last one needs two batches or more.
        training: how.
    """
    with pretended_gpu(strict=False) as log:
        learn_on_gpu(cell, tasks, training, log)
    return median_low(count for step, count in log.launches.items() if step > 1)
