"""Try given options of methods on the validation images of the embedded stream; test images are never touched.

    python scripts/try_options.py [--backbone mini-vit] [--scenario class] [--tasks N] [--epochs N] SPEC ...

Learns the stream with each specification and prints its average accuracy on validation images after the last task, and
on training images to show what it learned by heart: means over seeds 100 and 101 (not the seeds of a default run).
`scripts/choose_defaults.py` searches by itself. One process per core; about a minute of one core per line. Needs the
extra `tune`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any

SEEDS = (100, 101)


def try_once(settings: Any, seed: int) -> tuple[float, ...]:
    """The average accuracies on validation and training images after the whole stream; NaN if the training diverged.

    Args:
        settings: with one method.
        seed: of all random numbers.

    Raises:
        UserError: the method cannot be used with the other settings.
    """
    import torch

    from benchmark.learning.strategy import DivergedError
    from benchmark.planning.preparation import prepare_run
    from benchmark.running.tune import average_accuracies

    torch.set_num_threads(1)
    prepared = prepare_run(settings, note=lambda text: None, tuning=True)
    try:
        return tuple(average_accuracies(prepared, prepared.methods[0], seed, ("validation", "train")))
    except DivergedError:
        return float("nan"), float("nan")


def checked(options: dict[str, Any], specs: Sequence[str]) -> Any:
    """The settings with all specifications.

    Raises:
        UserError: an option or a specification cannot be used.
    """
    from benchmark.config import Settings, parse_methods
    from methods.configured import configure

    settings = Settings(methods=parse_methods(specs), device="cpu", **options)
    for spec in settings.methods:
        configure(spec)
    return settings


def try_all(settings: Any) -> None:
    """Print a line for each specification as soon as both seeds are learned."""
    print("| specification | validation | training |\n|---|---:|---:|")
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        tried = {
            spec: [pool.submit(try_once, replace(settings, methods=(spec,)), seed) for seed in SEEDS]
            for spec in settings.methods
        }
        try:
            for spec, runs in tried.items():
                means = (100 * sum(seeds) / len(SEEDS) for seeds in zip(*(run.result() for run in runs), strict=True))
                print(f"| `{spec}` | {' | '.join(f'{mean:.1f}' for mean in means)} |", flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("specs", nargs="+", metavar="SPEC", help="for example ewc:strength=300")
    parser.add_argument("--backbone", default="mini")
    parser.add_argument("--scenario", default="task", choices=["task", "class", "domain"])
    parser.add_argument("--tasks", type=int, help="only the first tasks of the stream")
    parser.add_argument("--epochs", type=int, default=8)
    options = vars(parser.parse_args(argv))
    specs = options.pop("specs")
    # One thread per process: the threads of several processes would wait for each other.
    os.environ["OMP_NUM_THREADS"] = "1"
    from methods.errors import UserError

    try:
        try_all(checked(options, specs))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
