"""How much sooner are four equal cells learned by two workers than one after the other?

    python -m performance.jobs

Learns `sgd` with four seeds on the first tasks of the embedded stream: in this process with one thread, in this process
with as many threads as torch takes by default, and in two worker processes that divide these threads. Each is timed
from the start of the first task to the end of the last cell; what comes before, the start of the workers included, is
shown by itself. Tables and figures, which take the same time whoever learned the cells, are left out.

Contenders run in turn, several times; the fastest time of each counts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmark.config import Settings, parse_methods
from benchmark.planning.preparation import prepare_run
from benchmark.progress.events import CellEnded, Event, JobEnded, TaskBegan
from benchmark.running.executors.base import Executor
from benchmark.running.executors.cells import Job
from benchmark.running.executors.plan import Plan
from benchmark.running.executors.processes import ProcessExecutor
from benchmark.running.executors.serial import SerialExecutor
from benchmark.workers import warm_up
from performance.timing import print_table, race, threads

_CELLS, _WORKERS = 4, 2


@dataclass(frozen=True)
class Spent:
    """Seconds of one run.

    Attributes:
        starting: until the first task began.
        learning: from then to the end of the last cell.
    """

    starting: float
    learning: float


def spend(executor: Executor, jobs: Sequence[Job]) -> Spent:
    """Do the jobs.

    Raises:
        RuntimeError: one of them failed; the error has its cause.
    """
    tasks: list[float] = []
    ends: list[float] = []

    def hear(event: Event) -> None:
        match event:
            case TaskBegan():
                tasks.append(time.perf_counter())
            case CellEnded():
                ends.append(time.perf_counter())
            case JobEnded(name, failure) if failure:
                raise RuntimeError(f"{name} failed: {failure.cause}")

    began = time.perf_counter()
    executor.run(deque(jobs), hear)
    return Spent(tasks[0] - began, ends[-1] - tasks[0])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=3, metavar="N", help="default %(default)s")
    parser.add_argument("--tasks", type=int, default=3, metavar="N", help="of each cell; default %(default)s")
    parser.add_argument("--epochs", type=int, default=8, metavar="N", help="per task; default %(default)s")
    parser.add_argument("--train-images", type=int, metavar="N", help="per task; default all")
    chosen = parser.parse_args(arguments)
    warm_up()
    settings = Settings(
        methods=parse_methods("sgd"),
        tasks=chosen.tasks,
        train_images=chosen.train_images,
        epochs=chosen.epochs,
        seeds=tuple(range(_CELLS)),
        device="cpu",
    )
    prepared = prepare_run(settings, note=lambda text: None)
    jobs = [Job(f"sgd, seed {seed}", ("sgd", seed, 0)) for seed in settings.seeds]
    order = list(range(1, chosen.tasks + 1))
    everything = torch.get_num_threads()

    with tempfile.TemporaryDirectory() as temporary:

        def plan(name: str, repetition: int) -> Plan:
            folder = Path(temporary, f"{name} {repetition}")
            folder.mkdir()
            return Plan(settings, (), Path.cwd(), folder, [order], keep_states=False, verify=False)

        def alone(count: int) -> Callable[[int], Spent]:
            def run(repetition: int) -> Spent:
                with threads(count):
                    return spend(SerialExecutor(plan(f"alone {count}", repetition).learner(prepared)), jobs)

            return run

        def together(repetition: int) -> Spent:
            return spend(ProcessExecutor(plan("together", repetition).sharing([everything], _WORKERS), _WORKERS), jobs)

        ours = f"--jobs {_WORKERS}, {max(1, everything // _WORKERS)} each"
        contenders = {f"--jobs 1, {count}": alone(count) for count in sorted({1, everything})}
        runs = race({**contenders, ours: together}, chosen.repetitions)
    fastest = {name: min(run.learning for run in own) for name, own in runs.items()}
    header = ("jobs, threads", "start, s", "four cells, s", f"throughput of --jobs {_WORKERS} over it")
    rows = []
    for name, own in runs.items():
        starting = min(run.starting for run in own)
        rows.append((name, f"{starting:.2f}", f"{fastest[name]:.3f}", f"{fastest[name] / fastest[ours]:.2f}"))
    print_table(f"{_CELLS} cells of sgd, {chosen.tasks} tasks each; target: ratio >= 1.7", header, rows)


if __name__ == "__main__":
    main()
