"""Choose the methods' defaults on the validation images of the embedded stream; test images are never touched.

    python scripts/tune_mini.py [--backbone mini-vit] [--scenario class] [SPEC ...]

Learns the whole stream with each specification and prints its average validation accuracy after the last task, the
mean over seeds 100 and 101 (not the seeds of a default run). Without arguments, tries every value in docs/tuning.md.
One process per core; about a minute of one core per line. Needs the extra `tune`.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor

SEEDS = (100, 101)
TRIED = [
    *(f"clr:lr={rate}" for rate in (0.003, 0.01, 0.03)),
    *(f"clr:lr={rate}:schedule=step" for rate in (0.003, 0.01)),
    *(f"linear-probe:lr={rate}" for rate in (0.1, 0.3)),
    *(f"sgd-ll:lr={rate}" for rate in (0.03, 0.1)),
    *(f"sgd:lr={rate}:clip=0" for rate in (0.01, 0.03)),
    *(f"ewc:strength={strength}:clip=0" for strength in (1, 10, 30)),
    *(f"eft:lr={rate}" for rate in (0.03, 0.1)),
    *(f"ccll:lr={rate}" for rate in ("0.01:clip=0", 0.03, 0.1, "0.001:optimizer=adam:clip=0")),
]


def try_once(text: str, seed: int, backbone: str, scenario: str) -> float:
    """The average validation accuracy after the whole stream; NaN if the training diverged."""
    import torch

    from benchmark.config import Settings
    from benchmark.learning.strategy import DivergedError
    from benchmark.planning.preparation import prepare_run
    from benchmark.running.tune import validation_accuracy

    torch.set_num_threads(1)
    settings = Settings(methods=(text,), seeds=(seed,), device="cpu", backbone=backbone, scenario=scenario)
    prepared = prepare_run(settings, note=lambda text: None, tuning=True)
    try:
        return validation_accuracy(prepared, prepared.methods[0])
    except DivergedError:
        return float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("specs", nargs="*", metavar="SPEC", help="for example ewc:strength=300")
    parser.add_argument("--backbone", default="mini")
    parser.add_argument("--scenario", default="task", choices=["task", "class", "domain"])
    arguments = parser.parse_args()
    # One thread per process: the threads of several processes would wait for each other.
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        settings = arguments.backbone, arguments.scenario
        specs = arguments.specs or TRIED
        futures = {spec: [pool.submit(try_once, spec, seed, *settings) for seed in SEEDS] for spec in specs}
        for spec, runs in futures.items():
            print(f"| `{spec}` | {100 * sum(run.result() for run in runs) / len(SEEDS):.1f} |", flush=True)


if __name__ == "__main__":
    main()
