"""How much faster is a training step of `clr` than one of `sgd`, and how much faster could it be?

    python -m performance.clr_over_sgd

ResNet-18 and MobileNetV2 with random weights at 64x64, batch 32, in single precision and in bfloat16: seconds per
training step of `clr` over those of `sgd`, in the harness and in bare PyTorch, beside the ratio of the operations that
the harness counts. In bare PyTorch, CLR is a frozen backbone with a depthwise 3x3 convolution after each convolution
that is not 1x1; these kernels, batch normalisation and the head are trained, without the penalty on their norms.
Contenders run in turn, several times, and the fastest epoch of each counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

from torch import nn

from benchmark.backbones import backbones
from benchmark.learning.learner import start
from benchmark.learning.precision import Precision
from benchmark.learning.training import Training
from benchmark.streams.base import Task
from methods.configured import configure
from methods.network import Network
from performance.loops import BareNetwork, bare_loop, cell_of, harness_loop, noise_task
from performance.timing import fastest, print_table, race, thread_counts, threads

_CLASSES, _BATCH, _SIZE = 10, 32, 64
_METHODS = ("clr", "sgd")

# Those of a CPU.
_PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


def reprogrammed(network: Network) -> BareNetwork:
    """A plain re-implementation of CLR (Ge et al., ICCV 2023, arXiv 2307.11386)."""
    model = BareNetwork(network, _CLASSES)
    for parameter in model.backbone.parameters():
        parameter.requires_grad = False
    for module in list(model.backbone.modules()):
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(True)
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv2d) and child.kernel_size != (1, 1):
                channels = child.out_channels
                kernels = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
                nn.init.dirac_(kernels.weight, groups=channels)
                setattr(module, name, nn.Sequential(child, kernels))
    return model


def harness(method: str, network: Network, task: Task, training: Training, seed: int) -> tuple[list[float], int]:
    """Learn the task in the harness: seconds per step of each timed epoch, and operations of all."""
    cell = cell_of(method, network, _CLASSES, seed)
    seconds, learned = harness_loop(cell, start(cell), task, training)
    return seconds, learned.operations


def bare(method: str, network: Network, task: Task, training: Training, seed: int) -> tuple[list[float], int]:
    """Learn the task in bare PyTorch, which counts no operations."""
    model = reprogrammed(network) if method == "clr" else BareNetwork(network, _CLASSES)
    return bare_loop(model, task.train, training)[0], 0


def compare(name: str, images: int, epochs: int, repetitions: int) -> list[list[str]]:
    """A row of the table for each precision."""
    network = backbones.get(name)().network()
    task, rows = noise_task(1, images, _SIZE, _CLASSES), []
    for precision in _PRECISIONS:
        trainings = {
            method: Training(configure(method).recipe, epochs, _BATCH, precision=precision) for method in _METHODS
        }
        runs = race(
            {
                f"{where} {method}": partial(loop, method, network, task, trainings[method])
                for method in _METHODS
                for where, loop in (("harness", harness), ("bare", bare))
            },
            repetitions,
        )
        clr, sgd, bare_clr, bare_sgd = (
            fastest(seconds for seconds, _ in runs[f"{where} {method}"])
            for where in ("harness", "bare")
            for method in _METHODS
        )
        operations = [runs[f"harness {method}"][0][1] for method in _METHODS]
        milliseconds = [f"{1000 * seconds:.1f}" for seconds in (sgd, clr)]
        ratios = [clr / sgd, bare_clr / bare_sgd, operations[0] / operations[1]]
        rows.append([name, precision, *milliseconds, *(f"{ratio:.3f}" for ratio in ratios)])
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=3, metavar="N", help="default %(default)s")
    parser.add_argument("--epochs", type=int, default=4, metavar="N", help="per repetition; default %(default)s")
    parser.add_argument("--images", type=int, default=3 * _BATCH, metavar="N", help="default %(default)s")
    parser.add_argument("--backbones", nargs="+", default=["resnet18", "mobilenet_v2"], metavar="NAME")
    chosen = parser.parse_args(arguments)
    header = ["", "", "sgd, ms/step", "clr, ms/step", "clr / sgd", "in bare PyTorch", "operations"]
    for count in thread_counts():
        with threads(count):
            rows = [
                row
                for name in chosen.backbones
                for row in compare(name, chosen.images, chosen.epochs, chosen.repetitions)
            ]
            print_table("clr over sgd at 64x64, batch 32; target: the ratio of bare PyTorch", header, rows)


if __name__ == "__main__":
    main()
