"""How many evaluations does a long stream need with each method, and how long does the run take?

    python -m performance.evaluations

Runs each method by itself on a stream of 30 tiny tasks through the command line, in a temporary folder. After a task,
only those tasks are evaluated whose tensors have changed: T evaluations where the method isolates the T tasks, and at
most T (T + 1) / 2 where it does not. The seconds of a run are those of training, of evaluations, and of all the rest:
finding the decoded images, writing states and tables, drawing figures.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
from PIL import Image

from benchmark.cli.main import main as command_line
from benchmark.config import parse_methods
from methods.configured import configure
from performance.timing import print_table

_CLASSES, _SIZE = 2, 32


@dataclass(frozen=True)
class Cost:
    """The cost of a run.

    Attributes:
        evaluations: how often a task was evaluated.
        training, evaluation, total: seconds.
    """

    evaluations: int
    training: float
    evaluation: float
    total: float


def write_stream(folder: Path, tasks: int, train: int = 16, test: int = 8) -> None:
    """Write a folder stream of noise: times do not depend on what the images show.

    Args:
        train, test: images per task.
    """
    random = np.random.default_rng(0)
    for task in range(1, tasks + 1):
        for split, count in (("train", train), ("test", test)):
            for number in range(count):
                path = folder / f"task-{task:03}" / split / f"class-{number % _CLASSES}" / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(random.integers(0, 256, (_SIZE, _SIZE, 3), dtype=np.uint8)).save(path)


def run(method: str, stream: Path, results: Path, device: str = "cpu", backbone: str = "mini") -> Cost:
    """Run a method, given as a specification, on the stream.

    Raises:
        RuntimeError: it failed; the error has the command's output.
    """
    data = ["--stream", f"folder:{stream}", "--image-size", str(_SIZE), "--out", str(results)]
    training = ["--epochs", "1", "--batch-size", "8", "--device", device, "--backbone", backbone]
    name = method.replace(":", "-")
    said = io.StringIO()
    began = time.perf_counter()
    with redirect_stdout(said), redirect_stderr(said):
        status = command_line(["run", "--methods", method, "--name", name, *data, *training])
    total = time.perf_counter() - began
    if status != 0:
        raise RuntimeError(f"{method} failed: {said.getvalue()}")
    (row,) = pd.read_csv(results / name / "compute.csv").to_dict("records")
    return Cost(row["evaluations"], row["training_seconds"], row["evaluation_seconds"], total)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=30, metavar="T", help="default %(default)s")
    parser.add_argument("--methods", default="all", metavar="LIST", help="as of `python -m benchmark run`; default all")
    chosen = parser.parse_args(arguments)
    target = {True: chosen.tasks, False: chosen.tasks * (chosen.tasks + 1) // 2}
    header = ("", "isolates", "evaluations", "over target", "training, s", "evaluation, s", "other, s", "total, s")
    rows = []
    # Noise should not stay in the user's cache of images.
    with tempfile.TemporaryDirectory() as temporary, patch.dict(os.environ, XDG_CACHE_HOME=temporary):
        stream, results = Path(temporary, "stream"), Path(temporary, "results")
        write_stream(stream, chosen.tasks)
        # The first method should not pay for what is imported and decoded on first use.
        run("linear-probe", stream, results / "first")
        for method in parse_methods(chosen.methods):
            cost, isolates = run(method, stream, results), configure(method).cls.isolates_tasks
            ratio = f"{cost.evaluations / target[isolates]:.2f}"
            seconds = (cost.training, cost.evaluation, cost.total - cost.training - cost.evaluation, cost.total)
            named = (method, "yes" if isolates else "no", str(cost.evaluations), ratio)
            rows.append((*named, *(f"{value:.2f}" for value in seconds)))
    print_table(f"{chosen.tasks} tasks; target: as many evaluations as tasks where they are isolated", header, rows)


if __name__ == "__main__":
    main()
