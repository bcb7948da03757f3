"""What does the harness add to a bare PyTorch loop? And how fast is Avalanche's own `Naive`, on the same work?

    python -m performance.bare_loop

1. A small residual network on 32x32 images, batch 32: seconds per training step of `sgd` in the harness over those of a
   bare loop with the same network, normalisation, optimiser and schedule. `sgd` limits the norm of the gradient, which
   `sgd:clip=0` does not; each is compared with a bare loop that does the same.
2. A two-layer perceptron on 28x28 images, batch 10: images per second of the harness, the bare loop, and Avalanche's
   `Naive` on its own tensors benchmark, whose images are normalised beforehand: as it comes, with its default metrics
   and progress display, and silent, without them. And the accuracies of all on the same test images.

Contenders run in turn, several times; the fastest epoch of each counts. The first epoch is left out, since in it the
harness counts operations.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean, pstdev
from typing import Any

import torch
from avalanche.training import Naive
from torch import nn

from benchmark.backbones.mini.backbone import MiniBackbone
from benchmark.images.labelled import LabelledImages
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import start
from benchmark.learning.training import Training
from methods.configured import configure
from performance.avalanche_loop import avalanche_loop
from performance.loops import BareNetwork, bare_loop, cell_of, harness_loop, noise_task
from performance.perceptron import SingleHeadPerceptron, as_floats, digits, perceptron
from performance.timing import fastest, print_table, race, thread_counts, threads

_NAIVE, _SILENT = "Naive", "Naive, silent"
_PLAIN = "sgd:clip=0:momentum=0:lr=0.02:schedule=constant"


@dataclass(frozen=True)
class Trained:
    """The result of one run.

    Attributes:
        seconds: per step, of each epoch after the first.
        quality: shows that contenders do the same work: the last epoch's loss, or the accuracy.
    """

    seconds: list[float]
    quality: float


def small_network(images: int, epochs: int, repetitions: int) -> None:
    """Print the seconds per step of `sgd` and of bare loops."""
    network, task = MiniBackbone().network(), noise_task(1, images, size=32, classes=10)

    def trained(method: str) -> Training:
        return Training(configure(method).recipe, epochs, batch_size=32)

    def harness(method: str, seed: int) -> Trained:
        cell = cell_of(method, network, 10, seed)
        seconds, learned = harness_loop(cell, start(cell), task, trained(method))
        return Trained(seconds, learned.losses[-1])

    def bare(method: str, seed: int) -> Trained:
        torch.manual_seed(seed)
        return Trained(*bare_loop(BareNetwork(network, 10), task.train, trained(method)))

    methods = ("sgd:clip=0", "sgd")
    kinds = {"bare": bare, "harness": harness}
    contenders = {f"{kind} {method}": partial(kinds[kind], method) for method in methods for kind in kinds}
    runs = race(contenders, repetitions)
    header = ("", "bare, ms/step", "harness, ms/step", "ratio", "bare loss", "harness loss")
    rows = []
    for method in methods:
        pair = [runs[f"{kind} {method}"] for kind in kinds]
        bare_s, harness_s = (fastest(run.seconds for run in own) for own in pair)
        losses = (fmean(run.quality for run in own) for own in pair)
        rows.append((method, *(f"{x:.3f}" for x in (1000 * bare_s, 1000 * harness_s, harness_s / bare_s, *losses))))
    print_table("Small residual network at 32x32, batch 32; target: ratio <= 1.03", header, rows)


@torch.inference_mode()
def accuracy(model: nn.Module, data: LabelledImages) -> float:
    """The share of `data` that a model classifies correctly."""
    return float((model.eval()(data.images).argmax(1) == data.labels).float().mean())


def two_layers(images: int, epochs: int, repetitions: int) -> None:
    """Print the images per second of Naive, the harness, and a bare loop."""
    task, training = digits(images), Training(configure(_PLAIN).recipe, epochs, batch_size=10)

    def harness(seed: int) -> Trained:
        cell = cell_of(_PLAIN, perceptron(seed), 10, seed)
        seconds, learned = harness_loop(cell, start(cell), task, training)
        return Trained(seconds, accuracy(network_for(cell, learned.state, 1, 10), task.test))

    def bare(seed: int) -> Trained:
        model = BareNetwork(perceptron(seed), 10)
        seconds, _ = bare_loop(model, task.train, training)
        return Trained(seconds, accuracy(model, task.test))

    def naive(seed: int, **options: Any) -> Trained:
        network = perceptron(seed)
        model = SingleHeadPerceptron(network, 10)
        (seconds,) = avalanche_loop(Naive, model, [as_floats(network, task.train)], training, **options)
        return Trained(seconds, accuracy(model, as_floats(network, task.test)))

    contenders: dict[str, Callable[[int], Trained]] = {
        _NAIVE: naive,
        _SILENT: partial(naive, evaluator=None),
        "harness": harness,
        "bare loop": bare,
    }
    runs = race(contenders, repetitions)
    seconds = {name: fastest(run.seconds for run in own) for name, own in runs.items()}
    header = ("", "ms/step", "images/s", "over Naive", "over silent", "over bare", "accuracy", "+/-")
    rows = []
    for name, own in runs.items():
        speeds = (f"{1000 * seconds[name]:.3f}", f"{training.batch_size / seconds[name]:.0f}")
        ratios = (f"{seconds[other] / seconds[name]:.2f}" for other in (_NAIVE, _SILENT, "bare loop"))
        accuracies = [run.quality for run in own]
        rows.append((name, *speeds, *ratios, f"{fmean(accuracies):.3f}", f"{pstdev(accuracies):.3f}"))
    print_table("Two-layer perceptron at 28x28, batch 10; target: harness over Naive >= 2.2", header, rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5, metavar="N", help="default %(default)s")
    parser.add_argument("--epochs", type=int, default=8, metavar="N", help="per repetition; default %(default)s")
    parser.add_argument("--images", type=int, default=1500, metavar="N", help="at most 1500; default %(default)s")
    chosen = parser.parse_args(arguments)
    for count in thread_counts():
        with threads(count):
            # Its steps take sixty times as long.
            small_network(chosen.images // 3, chosen.epochs, chosen.repetitions)
            two_layers(chosen.images, chosen.epochs, chosen.repetitions)


if __name__ == "__main__":
    main()
