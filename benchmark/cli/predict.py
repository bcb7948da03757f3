"""`predict`: what a method of a run answers to images."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from benchmark.cli.options import Command, output_file
from benchmark.config import RUN_OPTIONS
from benchmark.declaration import Option
from benchmark.storage.folder import RunFolder, run_folder

if TYPE_CHECKING:
    from benchmark.using.learned import Learned
    from benchmark.using.predictor import Predictor

#: Which repetition of a method is meant: options of all commands that use what a run has learned.
REPETITION = (
    Option("method", required=True, metavar="METHOD", help="called as in the run's tables"),
    Option("seed", int, metavar="N", help="of the repetition; default: the run's first"),
    Option("order", int, metavar="N", help="of the tasks, where the run has several; default: the first"),
)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's folder, or its name in results/")
    parser.add_argument("images", nargs="+", metavar="IMAGES", help="image files, folders of them, or zips")


def _predict(arguments: argparse.Namespace, argv: list[str]) -> int:
    out = None if arguments.out is None else output_file(arguments.out)
    folder = run_folder("predict", arguments.run)
    from benchmark.using.predictor import Predictor

    learned = open_learned(folder, arguments)
    predictor = Predictor(learned, arguments.task, arguments.infer)
    say_which(learned, arguments)
    return predict_command(predictor, arguments.images, out)


COMMAND = Command(
    "predict",
    "what a method of a run answers to images, as CSV",
    _predict,
    (
        *REPETITION,
        Option("task", metavar="NAME", help="the task of the images"),
        Option("infer", metavar="RULE", help="guess the task of each image; see docs/scenarios.md"),
        Option("out", metavar="FILE", help="the CSV file; default: standard output"),
        RUN_OPTIONS["device"],
        RUN_OPTIONS["plugin"],
    ),
    _add_arguments,
    of_runs="predict reads images and answers as the run did",
)


def open_learned(folder: Path, arguments: argparse.Namespace) -> Learned:
    """Read what the repetition that the options mean has learned.

    Raises:
        UserError: see using.learned.read_learned.
    """
    from benchmark.progress.terminal import loading
    from benchmark.using.learned import read_learned

    with loading() as (_, warn):
        repetition = (arguments.method, arguments.seed, arguments.order)
        return read_learned(RunFolder(folder), *repetition, arguments.device, warn)


def say_which(learned: Learned, arguments: argparse.Namespace) -> None:
    """Tell on standard error what the user might expect otherwise."""
    if arguments.seed is None and learned.others:
        own, others = learned.manifest.repetition(learned.key), ", ".join(learned.others)
        print(f"this is {own}; --seed and --order choose others: {others}", file=sys.stderr)
    if None in learned.class_names:
        print(
            f"{learned.run.path} has no names of classes, as an older version made it: only their numbers are known",
            file=sys.stderr,
        )


def predict_command(predictor: Predictor, paths: Sequence[str], out: Path | None) -> int:
    """Write what is answered to the images at these paths: returns the exit status.

    Args:
        predictor: answers.
        paths: files, folders and zips.
        out: the CSV file; None for standard output.

    Raises:
        UserError: a path does not exist, or the file cannot be written.
    """
    from benchmark.files import write_atomically
    from benchmark.progress.terminal import counting
    from benchmark.streams.left_out import some
    from benchmark.using.given import files_of
    from benchmark.using.predictor import COLUMNS

    source = files_of(paths)
    if source.left_out:
        number, shown = len(source.left_out), some(source.left_out)
        print(f"files without an image's extension are left out: {number:,} ({shown})", file=sys.stderr)
    total, unread = len(source.labels), 0
    text: TextIO = sys.stdout if out is None else io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    # Rows in a terminal are progress enough.
    with counting("images", total, shown=not text.isatty()) as advance:
        for batch in predictor.rows(source):
            writer.writerows(batch)
            text.flush()
            unread += sum(row[-1] is not None for row in batch)
            advance(len(batch))
    if isinstance(text, io.StringIO) and out is not None:
        write_atomically(out, text.getvalue().encode())
    if unread:
        print(f"{unread:,} of {total:,} images could not be read; the column cause says why", file=sys.stderr)
    return 0
