"""Methods of the harness against Avalanche's own strategies of the same name: steps per second at equal settings.

    python -m performance.avalanche_strategies

A stream of three tasks, each with a head of its own, on a two-layer perceptron and tensors of 28x28 images; the same
optimiser, memory, and size of replay batches; Avalanche without metrics and loggers. The steps of the second and third
task are compared, since in the first there is nothing to remember; contenders run in turn, several times, and the
fastest epoch of each counts. Where a strategy of Avalanche cannot learn several heads, the reason is printed and it
learns with one head for all tasks, which is less work.

`derpp` draws two replay batches of the minibatch's size in each step, as its article does. Avalanche's DER draws one
and uses it twice; it is given one of double size, so that a step of either passes the same number of images.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from avalanche.training.supervised import DER, EWC, LwF, Replay
from avalanche.training.templates import SupervisedTemplate

from benchmark.learning.training import Training
from benchmark.streams.base import Task
from methods.configured import configure
from methods.errors import first_line
from performance.avalanche_loop import avalanche_loop
from performance.loops import cell_of, harness_tasks, noise_task
from performance.perceptron import SIZE, MultiHeadPerceptron, SingleHeadPerceptron, as_floats, perceptron
from performance.timing import fastest, print_table, race, thread_counts, threads

_CLASSES, _MEMORY = 10, 200
_PLAIN = "clip=0:momentum=0:lr=0.03:schedule=constant"


@dataclass(frozen=True)
class Pair:
    """A method of the harness and its counterpart.

    Attributes:
        spec: of the method.
        strategy: of Avalanche.
        options: of the strategy.
        replayed: images that a step of the strategy draws per image of the minibatch, if it has that option; else 0.
    """

    spec: str
    strategy: type[SupervisedTemplate]
    options: dict[str, Any]
    replayed: int = 0


_PAIRS = (
    Pair(f"er:memory={_MEMORY}", Replay, {"mem_size": _MEMORY}),
    Pair("ewc:strength=1", EWC, {"ewc_lambda": 0.5}),
    Pair("lwf:strength=1:temperature=2", LwF, {"alpha": 1.0, "temperature": 2.0}),
    Pair(
        f"derpp:memory={_MEMORY}:alpha=0.1:beta=0.5", DER, {"mem_size": _MEMORY, "alpha": 0.1, "beta": 0.5}, replayed=2
    ),
)

#: The networks that Avalanche trains.
Perceptron = MultiHeadPerceptron | SingleHeadPerceptron

#: The seconds per step of each epoch after the first, for each task after the first.
Seconds = list[list[float]]


def harness(pair: Pair, tasks: list[Task], training: Training, seed: int) -> Seconds:
    """Learn the tasks in the harness."""
    return harness_tasks(cell_of(pair.spec, perceptron(seed), _CLASSES, seed), tasks, training)


def avalanche(pair: Pair, model: type[Perceptron], tasks: list[Task], training: Training, seed: int) -> Seconds:
    """Learn the tasks with Avalanche."""
    network = perceptron(seed)
    floats = [as_floats(network, task.train) for task in tasks]
    options = pair.options | ({"batch_size_mem": pair.replayed * training.batch_size} if pair.replayed else {})
    return avalanche_loop(pair.strategy, model(network, _CLASSES), floats, training, evaluator=None, **options)[1:]


def usable_model(pair: Pair, tasks: list[Task], training: Training) -> tuple[type[Perceptron], str]:
    """The network with a head per task, or with a single head if Avalanche fails on that; and the reason."""
    try:
        avalanche(pair, MultiHeadPerceptron, tasks, replace(training, epochs=1), seed=0)
    except Exception as error:  # any error is Avalanche's answer
        return SingleHeadPerceptron, first_line(error)
    return MultiHeadPerceptron, ""


def compare(images: int, batch: int, epochs: int, repetitions: int) -> None:
    """Print the steps per second of each pair at one batch size."""
    training = Training(configure(f"sgd:{_PLAIN}").recipe, epochs, batch)
    tasks = [noise_task(number, images, SIZE, _CLASSES, channels=1) for number in (1, 2, 3)]
    header = ("", "task", "Avalanche, steps/s", "harness, steps/s", "ratio")
    rows, notes = [], []
    for pair in _PAIRS:
        name = pair.spec.partition(":")[0]
        model, failure = usable_model(pair, tasks, training)
        if failure:
            notes.append(f"{name}: Avalanche's {pair.strategy.__name__} has one head, since with several: {failure}")
        contenders: dict[str, Callable[[int], Seconds]] = {
            "Avalanche": partial(avalanche, pair, model, tasks, training),
            "harness": partial(harness, pair, tasks, training),
        }
        runs = race(contenders, repetitions)
        for index, task in enumerate(("2", "3")):
            theirs, ours = (1 / fastest(run[index] for run in own) for own in runs.values())
            rows.append((name, task, f"{theirs:.0f}", f"{ours:.0f}", f"{ours / theirs:.2f}"))
    print_table(f"Two-layer perceptron, batch {batch}; target: ratio >= 1.5", header, rows)
    for note in notes:
        print(note, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5, metavar="N", help="default %(default)s")
    parser.add_argument("--epochs", type=int, default=4, metavar="N", help="per task; default %(default)s")
    parser.add_argument("--images", type=int, default=640, metavar="N", help="per task; default %(default)s")
    chosen = parser.parse_args(arguments)
    for count in thread_counts():
        with threads(count):
            for batch in (10, 32):
                compare(chosen.images, batch, chosen.epochs, chosen.repetitions)


if __name__ == "__main__":
    main()
