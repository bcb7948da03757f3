"""Runs a command of the benchmark in its own process, as `python -m benchmark` does, and notes when things happen.

    python -m performance.observed NOTES.json run --methods clr

Nothing heavy is imported here, because what the command imports, and when, is part of the measurement.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from performance.command import run_command


@dataclass(frozen=True)
class Observed:
    """The measurements of a command that succeeded.

    Attributes:
        seconds: since the process was started, until the first time that: the stream and the backbone began to load
            ("loading") and were loaded ("loaded"); a cell began ("cell") and had made a training step ("step"), if no
            other process did that; tables and figures began ("report") and were done ("reported"); all ended ("end").
        decoded: how many images were decoded.
    """

    seconds: dict[str, float]
    decoded: int


def observe(command: Sequence[str]) -> Observed:
    """Run a command of `python -m benchmark` in another process.

    Raises:
        RuntimeError: it failed; the error has its output.
    """
    with tempfile.TemporaryDirectory() as temporary:
        notes = Path(temporary, "notes.json")
        began = time.time()
        process = run_command([sys.executable, "-m", "performance.observed", str(notes), *command])
        if process.status != 0:
            raise RuntimeError(f"{' '.join(command)} failed: {process.said}")
        times: dict[str, float] = json.loads(notes.read_text())
    decoded = int(times.pop("decoded"))
    return Observed({event: at - began for event, at in times.items()} | {"end": process.seconds}, decoded)


def _main(notes: Path, command: list[str]) -> int:
    from benchmark.cli.main import main

    if not any(word.startswith("--jobs") for word in command):
        # The command itself does this too, before it imports what is patched below.
        from benchmark.workers import warm_up

        warm_up()

    import benchmark.planning.preparation
    import benchmark.running.runner
    from benchmark.images.decoder import Decoder
    from benchmark.learning.strategy import Strategy
    from benchmark.running.executors.cell_learner import CellLearner

    times: dict[str, float] = {}
    decoded = 0

    def timed(function: Callable[..., Any], before: str, after: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            times.setdefault(before, time.time())
            result = function(*arguments, **keywords)
            times.setdefault(after, time.time())
            return result

        return call

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(decoder: Decoder, source: Any, indices: Sequence[int], *arguments: Any, **keywords: Any) -> Any:
            nonlocal decoded
            decoded += len(indices)
            return function(decoder, source, indices, *arguments, **keywords)

        return call

    with ExitStack() as patches:
        for owner, name, before, after in (
            (benchmark.planning.preparation, "prepare_run", "loading", "loaded"),
            (CellLearner, "do", "cell", "cell end"),
            (Strategy, "optimizer_step", "step begin", "step"),
            (benchmark.running.runner, "write_report", "report", "reported"),
        ):
            patches.enter_context(patch.object(owner, name, timed(getattr(owner, name), before, after)))
        for name in ("to_file", "to_array"):
            patches.enter_context(patch.object(Decoder, name, counted(getattr(Decoder, name))))
        status = main(command)
    notes.write_text(json.dumps(times | {"decoded": decoded}))
    return status


if __name__ == "__main__":
    status = _main(Path(sys.argv[1]), sys.argv[2:])
    sys.stdout.flush()
    # The command itself ends in this way.
    os._exit(status)
