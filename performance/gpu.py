"""How fast is the harness on a GPU?

    python -m performance.gpu                          # everything; on a large GPU about half an hour
    python -m performance.gpu --parts formats --json formats.json

Four parts, each with a table:

- steps: milliseconds per training step of each method, in the second of two tasks of noise, over those of a bare
  PyTorch loop; kernel launches per step; the share of the time in which the GPU computes (time of its kernels over
  time of the step). Networks have random weights. One that this version does not have is left out, with a line.
- formats: the same of `clr` and `sgd` for each --memory-format and --precision. In channels-last, torch computes
  depthwise convolutions by cuDNN; in contiguous, by its own kernels.
- evaluations: seconds per evaluation on a stream of many tiny tasks, learned through the command line.
- cells: two equal cells on one GPU, side by side and one after the other. Each way is run with few epochs and with
  many; the difference is the time of the epochs between, without what each process does once.

As in a run, cuDNN takes deterministic algorithms only. Nothing else should use the GPU meanwhile.
To try the script itself without a GPU: `--device cpu --quick`; its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

import torch

from benchmark.config import parse_methods
from benchmark.images.layout import MemoryFormat
from benchmark.learning.precision import Precision
from methods.configured import configure
from methods.errors import UserError, first_line
from methods.options import Spec
from performance.evaluations import run as run_stream
from performance.evaluations import write_stream
from performance.gpu_steps import Amount, Place, Workload, bare_steps, harness_steps, workload
from performance.observed import observe
from performance.timing import print_table

#: A row of a table: column -> value. All rows of a table have the same columns.
Row = dict[str, Any]

_FULL = Amount(steps=20, epochs=4, repetitions=2, batch=32)
_QUICK = Amount(steps=2, epochs=2, repetitions=1, batch=4)


def steps(loads: Sequence[Workload], chosen: argparse.Namespace, amount: Amount) -> Iterator[Row]:
    """Each method on each network."""
    place = Place(torch.device(chosen.device))
    for load in loads:
        bare = bare_steps(load, place, amount)
        known = {"network": load.name, "images": f"{amount.batch} x {load.size}x{load.size}"}
        yield {**known, "method": "(bare loop)", **_of(bare, bare)}
        for method in chosen.methods:
            try:
                found = harness_steps(method, load, place, amount)
            # A method may not work on a network, as one for convolutions on a perceptron; others go on.
            except Exception as error:
                print(f"{method} on {load.name} is left out: {first_line(error)}", flush=True)
                continue
            yield {**known, "method": str(method), **_of(found, bare)}


def _of(found: Any, bare: Any) -> Row:
    return {
        "ms/step": 1000 * found.seconds,
        "steps/s": 1 / found.seconds,
        "over bare": found.seconds / bare.seconds,
        "launches": found.kernels.launches,
        "over bare's": found.kernels.launches / bare.kernels.launches if bare.kernels.launches else float("nan"),
        "busy": found.busy,
    }


def formats(loads: Sequence[Workload], chosen: argparse.Namespace, amount: Amount) -> Iterator[Row]:
    """`clr` and `sgd` in each memory format and precision."""
    device = torch.device(chosen.device)
    for load, precision, memory_format in product(loads, get_args(Precision), get_args(MemoryFormat)):
        place = Place(device, memory_format, precision)
        sgd, clr = (harness_steps(method, load, place, amount) for method in ("sgd", "clr"))
        yield {
            "network": load.name,
            "precision": precision,
            "format": memory_format,
            "sgd, ms/step": 1000 * sgd.seconds,
            "clr, ms/step": 1000 * clr.seconds,
            "clr / sgd": clr.seconds / sgd.seconds,
            "operations": clr.operations / sgd.operations,
            "sgd, launches": sgd.kernels.launches,
            "clr, launches": clr.kernels.launches,
            "clr, busy": clr.busy,
        }


def evaluations(loads: Sequence[Workload], chosen: argparse.Namespace, amount: Amount) -> Iterator[Row]:
    """Streams of tiny tasks."""
    tasks = 2 if chosen.quick else 30
    with tempfile.TemporaryDirectory() as temporary, patch.dict(os.environ, XDG_CACHE_HOME=temporary):
        stream, results = Path(temporary, "stream"), Path(temporary, "results")
        write_stream(stream, tasks)
        backbones = ("mini",) if chosen.quick else ("mini", "resnet50")
        for backbone, method in product(backbones, ("clr", "sgd")):
            cost = run_stream(method, stream, results / backbone, chosen.device, backbone)
            yield {
                "network": backbone,
                "method": method,
                "tasks": tasks,
                "evaluations": cost.evaluations,
                "ms/evaluation": 1000 * cost.evaluation / cost.evaluations,
                "evaluation, s": cost.evaluation,
                "training, s": cost.training,
            }


def cells(loads: Sequence[Workload], chosen: argparse.Namespace, amount: Amount) -> Iterator[Row]:
    """Two cells of `sgd` on the embedded stream."""
    few, many = (1, 2) if chosen.quick else (2, 42)
    images = ("--train-images", "20", "--test-images", "10") if chosen.quick else ()
    share = ("--gpus-per-cell", "0.5") if chosen.device == "cuda" else ()
    ways: dict[str, tuple[str, ...]] = {"one after the other": ("--jobs", "1"), "side by side": ("--jobs", "2", *share)}
    seconds = {}
    with tempfile.TemporaryDirectory() as temporary, patch.dict(os.environ, XDG_CACHE_HOME=temporary):

        def whole(way: Sequence[str], epochs: int) -> float:
            common = ("run", "--methods", "sgd", "--seeds", "2", "--tasks", "2", "--device", chosen.device, *images)
            own = ("--epochs", str(epochs), "--out", temporary, "--name", f"{way[1]}-{epochs}")
            return observe([*common, *way, *own]).seconds["end"]

        for name, way in ways.items():
            seconds[name] = [whole(way, epochs) for epochs in (few, many)]
    between = {name: long - short for name, (short, long) in seconds.items()}
    for name, (short, long) in seconds.items():
        yield {
            "cells": name,
            f"{few} epochs, s": short,
            f"{many} epochs, s": long,
            "difference, s": between[name],
            "throughput": between["one after the other"] / between[name],
        }


_PARTS: Mapping[str, tuple[str, Callable[..., Iterator[Row]]]] = {
    "steps": ("Training steps of the second task, batch and size beside them", steps),
    "formats": ("Memory formats and precisions", formats),
    "evaluations": ("Evaluations at 32x32", evaluations),
    "cells": ("Two cells of sgd on the embedded stream", cells),
}


def machine() -> dict[str, str]:
    """What the numbers depend on."""
    gpu = torch.cuda.is_available()
    return {
        "torch": torch.__version__,
        "CUDA": torch.version.cuda or "none",
        "cuDNN": str(torch.backends.cudnn.version() or "none"),
        "GPU": torch.cuda.get_device_name() if gpu else "none",
        "cores": str(os.cpu_count()),
    }


def _parts(text: str) -> list[str]:
    parts = text.split(",")
    if not set(parts) <= _PARTS.keys():
        raise argparse.ArgumentTypeError(f"'{text}' must be a list of {', '.join(_PARTS)}")
    return parts


def _methods(text: str) -> tuple[Spec, ...]:
    """The methods of a list, each of which exists and has its options; those that make no steps are left out."""
    return tuple(method for method in parse_methods(text) if configure(method).cls.learns_in_steps)


def _file(text: str) -> Path:
    path = Path(text)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"'{text}' must be a file in a folder that exists")
    return path


def _workloads(text: str) -> list[Workload]:
    found = {each: workload(each) for each in text.split(",")}
    for each, load in found.items():
        if load is None:
            print(f"{each} is left out: there is no such backbone in this version", flush=True)
    return [load for load in found.values() if load is not None]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="default %(default)s")
    parser.add_argument("--quick", action="store_true", help="a few steps of few images, to try the script itself")
    parser.add_argument("--parts", type=_parts, default=list(_PARTS), metavar="LIST", help=f"of {','.join(_PARTS)}")
    parser.add_argument("--methods", default="all", metavar="LIST", help="of the part steps; default %(default)s")
    parser.add_argument(
        "--networks",
        default="perceptron,resnet18@64,resnet18@224,vit_b_16@224",
        metavar="LIST",
        help="of the part steps, NAME@PIXELS; default %(default)s",
    )
    parser.add_argument(
        "--convolutional",
        default="resnet18@64,resnet18@224,mobilenet_v2@64,mobilenet_v2@224",
        metavar="LIST",
        help="networks of the part formats; default %(default)s",
    )
    parser.add_argument("--json", type=_file, metavar="FILE", help="write all numbers there, too")
    chosen = parser.parse_args(arguments)
    if chosen.device == "cuda" and not torch.cuda.is_available():
        print(
            "performance.gpu: torch sees no GPU here; run it where there is one, or add --device cpu --quick to try "
            "the script itself",
            file=sys.stderr,
        )
        raise SystemExit(2)
    # All is checked before anything is measured, which takes long.
    asked = {"steps": chosen.networks, "formats": chosen.convolutional}
    try:
        chosen.methods = _methods(chosen.methods)
        networks = {part: _workloads(text) for part, text in asked.items() if part in chosen.parts}
    except UserError as error:
        parser.error(str(error))
    torch.backends.cudnn.deterministic = True
    amount = _QUICK if chosen.quick else _FULL
    found: dict[str, Any] = {"machine": machine(), "tables": {}}
    for part in chosen.parts:
        title, measure = _PARTS[part]
        rows = list(measure(networks.get(part, ()), chosen, amount))
        found["tables"][part] = rows
        if rows:
            print_table(
                f"{title}; {machine()['GPU']}", list(rows[0]), [list(map(_shown, row.values())) for row in rows]
            )
        if chosen.json:
            # After each part, so that nothing is lost if a later one fails.
            chosen.json.write_text(json.dumps(found, indent=1))


def _shown(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
