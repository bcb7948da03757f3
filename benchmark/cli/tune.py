"""`tune`: chooses each method's options on validation images."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmark.cli.options import Command, check_least, output_file
from benchmark.config import RUN_OPTIONS, Settings, check_seeds
from benchmark.declaration import Option, make, options_of
from methods.errors import UserError

# Not those of a run's --seeds N, and more than one: which option is best for one seed may be chance.
_SEEDS = (100, 101)
_OF_SETTINGS = (
    *("backbone", "stream", "scenario", "image_size", "resize", "grey_range", "train_images", "validation"),
    *("epochs", "batch_size", "augment", "precision", "device"),
)


def _tune(arguments: argparse.Namespace, argv: list[str]) -> int:
    check_least(arguments, budget=1, tuning_tasks=1)
    asked = {name: getattr(arguments, name) for name in ("methods", *_OF_SETTINGS)}
    asked["seeds"] = _seeds(arguments)
    settings = make(Settings, options_of(Settings), asked, tasks=arguments.tuning_tasks)
    out = output_file(arguments.out)
    if importlib.util.find_spec("optuna") is None:
        raise UserError('tune needs Optuna, which is not installed; install it with: pip install ".[tune]"')
    return tune_command(settings, arguments.budget, out)


def _seeds(arguments: argparse.Namespace) -> str | Sequence[int]:
    """What --seeds or --seed says."""
    if arguments.seed is None:
        return _SEEDS if arguments.seeds is None else arguments.seeds
    if arguments.seeds is not None:
        raise UserError("--seed and --seeds both say which seeds are learned; give one of them")
    check_seeds("--seed", [arguments.seed])
    return (arguments.seed,)


COMMAND = Command(
    "tune",
    "choose each method's options on validation images",
    _tune,
    (
        RUN_OPTIONS["methods"],
        Option("budget", int, required=True, metavar="N", help="trials per method; defaults come first"),
        Option("tuning_tasks", int, 3, metavar="K", help="on the first K tasks"),
        *(RUN_OPTIONS[name] for name in _OF_SETTINGS),
        replace(
            RUN_OPTIONS["seeds"], default=None, help="how many seeds, or which (4,7), not the runs'; default 100,101"
        ),
        Option("seed", int, metavar="N", help="only this seed"),
        Option("out", str, "tuned.json", metavar="FILE", help="is made or added to"),
        RUN_OPTIONS["plugin"],
        RUN_OPTIONS["config"],
    ),
)


def tune_command(settings: Settings, budget: int, out: Path) -> int:
    """Tune methods; their options are already checked: returns the exit status."""
    from benchmark.planning.preparation import prepare_run
    from benchmark.progress.shown import shown
    from benchmark.progress.terminal import loading
    from benchmark.running.tune import Tuning, to_text

    with loading() as (note, warn):
        tuning = Tuning(prepare_run(settings, note, tuning=True, warn=warn), budget, out)
    try:
        passes = sum(method.passes(settings.epochs) for method in tuning.pending)
        learned = budget * len(settings.seeds) * len(tuning.prepared.stream)
        with shown(passes * learned) as progress:
            found = tuning.run(progress.handle)
    except KeyboardInterrupt:
        done = f"the methods that are done are in {out}, and trials of the next"
        print(f"\ninterrupted; {done}; the same command goes on", file=sys.stderr)
        return 130
    print(to_text(found))
    print(f"The best specifications are in {out}; run them with --tuned {out}")
    return 0 if len(found) == len(tuning.prepared.methods) else 1
