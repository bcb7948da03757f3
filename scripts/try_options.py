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
from concurrent.futures import ProcessPoolExecutor
from typing import Any

SEEDS = (100, 101)


def try_once(options: dict[str, Any], seed: int) -> tuple[float, ...]:
    """The average accuracies on validation and training images after the whole stream; NaN if the training diverged.

    Args:
        options: the settings that are not the defaults.
        seed: of all random numbers.
    """
    import torch

    from benchmark.config import Settings
    from benchmark.learning.strategy import DivergedError
    from benchmark.planning.preparation import prepare_run
    from benchmark.running.tune import average_accuracies

    torch.set_num_threads(1)
    prepared = prepare_run(Settings(device="cpu", **options), note=lambda text: None, tuning=True)
    try:
        return tuple(average_accuracies(prepared, prepared.methods[0], seed, ("validation", "train")))
    except DivergedError:
        return float("nan"), float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("specs", nargs="+", metavar="SPEC", help="for example ewc:strength=300")
    parser.add_argument("--backbone", default="mini")
    parser.add_argument("--scenario", default="task", choices=["task", "class", "domain"])
    parser.add_argument("--tasks", type=int, help="only the first tasks of the stream")
    parser.add_argument("--epochs", type=int, default=8)
    settings = vars(parser.parse_args())
    specs = settings.pop("specs")
    # One thread per process: the threads of several processes would wait for each other.
    os.environ["OMP_NUM_THREADS"] = "1"
    print("| specification | validation | training |\n|---|---:|---:|")
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        futures = {
            spec: [pool.submit(try_once, {**settings, "methods": (spec,)}, seed) for seed in SEEDS] for spec in specs
        }
        for spec, runs in futures.items():
            means = (100 * sum(seeds) / len(SEEDS) for seeds in zip(*(run.result() for run in runs), strict=True))
            print(f"| `{spec}` | {' | '.join(f'{mean:.1f}' for mean in means)} |", flush=True)


if __name__ == "__main__":
    main()
