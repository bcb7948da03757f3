"""Methods of the harness against those of Mammoth and a bare loop on Split-MNIST: iterations per second.

    python -m performance.mammoth --mammoth DIR [--python ENV/bin/python] [--data DIR]

Five tasks of two digits, each learned for one epoch in batches of 10 by a perceptron with two layers of 100 units, with
plain SGD at one learning rate. Mammoth (github.com/aimagelab/mammoth) is a checkout, run by its own main.py: as it
comes, when worker processes of its loader decode the images, and without these workers. Without --mammoth, only the
harness and the bare loop are timed.

1. Training. The tasks after the first count, since in the first there is nothing to remember. Mammoth's speed is what
   its progress bars show at the end of a task; that of the harness and of the bare loop is measured in this process, in
   the second of two epochs, since in the first the harness counts operations. The bare loop learns without any method.
2. The whole command: main.py, and `python -m benchmark run`, which finds no decoded images. Iterations of all tasks
   over all seconds, which include imports, evaluations, and what a method does between tasks.

Mammoth's EWC has one running Fisher, so it is compared with `online-ewc`; both estimate it on all images of a task.

Contenders run in turn, several times; the fastest time of each counts.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from unittest.mock import patch

from benchmark.streams.torchvision_sets import default_root
from methods.errors import UserError
from methods.names import printable
from performance.mammoth_checkout import Mammoth
from performance.split_mnist import Speed, SplitMNIST
from performance.timing import print_table, race

_AS_IT_COMES, _NO_WORKERS, _BARE, _OURS = "Mammoth", "no workers", "bare sgd", "harness"

#: The methods, and the options of Mammoth's main.py that mean the same.
_PAIRS = {
    "sgd": "--model sgd",
    "er:memory=200": "--model er --buffer_size 200",
    "derpp:memory=200:alpha=0.1:beta=0.5": "--model derpp --buffer_size 200 --alpha 0.1 --beta 0.5",
    "online-ewc:strength=1:decay=1:fisher=empirical:samples=60000": "--model ewc_on --e_lambda 0.5 --gamma 1",
    "si:strength=0.1:damping=0.001": "--model si --c 0.1 --xi 0.001",
    "lwf:strength=1:temperature=2": "--model lwf --alpha 1 --softmax_temp 2",
}
_LR = 0.03
_PLAIN = f"clip=0:momentum=0:lr={_LR}:schedule=constant"

_Runs = dict[str, list[Speed]]


def measure(
    method: str, stream: SplitMNIST, mammoth: Mammoth | None, iterations: int | None, repetitions: int
) -> _Runs:
    """Let the contenders of a method run in turn.

    Args:
        method: one of _PAIRS.
        iterations: of each task; None for a whole epoch.

    Returns:
        Contender -> the speeds of its repetitions.
    """
    contenders: dict[str, Callable[[int], Speed]] = {}
    if mammoth:
        options = [*_PAIRS[method].split(), "--lr", str(_LR)]
        contenders[_AS_IT_COMES] = partial(mammoth.train, options, iterations)
        contenders[_NO_WORKERS] = partial(mammoth.train, [*options, "--num_workers", "0"], iterations)
    contenders[_BARE] = partial(stream.bare, f"{method}:{_PLAIN}")
    contenders[_OURS] = partial(stream.harness, f"{method}:{_PLAIN}")
    return race(contenders, repetitions)


def print_speeds(title: str, per_second: dict[str, dict[str, float]]) -> None:
    """Print iterations per second, and the harness's over those of the others.

    Args:
        per_second: name of the method -> contender -> iterations per second.
    """
    names = list(next(iter(per_second.values())))
    others = [name for name in names if name != _OURS]
    header = ("", *(f"{name}, it/s" for name in names), *(f"over {name}" for name in others))
    rows = []
    for method, own in per_second.items():
        ratios = (f"{own[_OURS] / own[name]:.2f}" for name in others)
        rows.append((method, *(f"{own[name]:.0f}" for name in names), *ratios))
    print_table(title, header, rows)


def compare(stream: SplitMNIST, mammoth: Mammoth | None, chosen: argparse.Namespace) -> None:
    """Measure the methods, and print both tables."""
    training: dict[str, dict[str, float]] = {}
    whole: dict[str, dict[str, float]] = {}
    for method in _PAIRS:
        name = method.partition(":")[0]
        if name not in chosen.methods:
            continue
        runs = measure(method, stream, mammoth, chosen.iterations, chosen.repetitions)
        training[name] = {who: 1 / min(run.training for run in own) for who, own in runs.items()}
        seconds = {who: [run.whole / run.iterations for run in own if run.whole] for who, own in runs.items()}
        whole[name] = {who: 1 / min(own) for who, own in seconds.items() if own}
        # All of them take half an hour, and what is known should not be lost.
        known = (", ".join(f"{who} {speed:.0f}" for who, speed in own[name].items()) for own in (training, whole))
        print(f"{name}, it/s: {'; the whole command: '.join(known)}", file=sys.stderr, flush=True)
    print_speeds(f"training; target: over {_AS_IT_COMES} >= 5, over it with {_NO_WORKERS} >= 2", training)
    print_speeds("the whole command", whole)


def main(arguments: Sequence[str] | None = None) -> None:
    names = [method.partition(":")[0] for method in _PAIRS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mammoth", type=Path, metavar="DIR", help="a checkout; default: Mammoth is not measured")
    parser.add_argument("--python", default=sys.executable, metavar="FILE", help="Mammoth's; default: this one")
    parser.add_argument("--data", type=Path, metavar="DIR", help="of MNIST/raw; default: that of `split-mnist`")
    parser.add_argument("--methods", nargs="+", choices=names, default=names, metavar="NAME", help="default: all")
    parser.add_argument("--iterations", type=int, metavar="N", help="per task; default: an epoch, more than 1000")
    parser.add_argument("--repetitions", type=int, default=2, metavar="N", help="default %(default)s")
    chosen = parser.parse_args(arguments)
    data = (chosen.data or default_root()).absolute()
    with tempfile.TemporaryDirectory() as temporary, patch.dict(os.environ, XDG_CACHE_HOME=temporary):
        try:
            for option in ("iterations", "repetitions"):
                value = getattr(chosen, option)
                if value is not None and value < 1:
                    raise UserError(f"--{option} {value} must be at least 1")
            mammoth = chosen.mammoth and Mammoth(chosen.mammoth.absolute(), chosen.python, data)
            stream = SplitMNIST.load(data, chosen.iterations)
            if mammoth:
                mammoth.check()
        except UserError as error:
            parser.exit(2, f"error: {printable(str(error))}\n")
        compare(stream, mammoth, chosen)


if __name__ == "__main__":
    main()
