"""`export`: a learned network as a file that other programs run."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmark.cli.options import Command, output_file
from benchmark.cli.predict import REPETITION, open_learned, say_which
from benchmark.config import RUN_OPTIONS
from benchmark.declaration import Option
from benchmark.storage.folder import run_folder
from methods.errors import UserError


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's folder, or its name in results/")


def _export(arguments: argparse.Namespace, argv: list[str]) -> int:
    folder, out = run_folder("export", arguments.run), Path(arguments.out)
    if arguments.all_tasks and arguments.task is not None:
        raise UserError(f"--task {arguments.task} and --all-tasks both say what is exported; give one of them")
    from benchmark.using.bundle import check_bundle, export_all
    from benchmark.using.exporting import check_form, export_one

    if arguments.all_tasks:
        check_bundle(out)
    else:
        check_form(output_file(arguments.out))
    # A program works on any device; it is made on the CPU.
    learned = open_learned(folder, argparse.Namespace(**{**vars(arguments), "device": "cpu"}))
    say_which(learned, arguments)
    card = export_all(learned, out) if arguments.all_tasks else export_one(learned, arguments.task, out)
    print(f"{learned.key[0]} is in {out}, and its model card in {card}")
    return 0


COMMAND = Command(
    "export",
    "a learned network as a file for other programs: torch.export or ONNX",
    _export,
    (
        *REPETITION,
        Option("task", metavar="NAME", help="the task whose network is exported"),
        Option("all_tasks", bool, False, help="one trunk and a small part for each task, in a folder"),
        Option("out", required=True, metavar="FILE", help="ends in .pt2 or .onnx; with --all-tasks a new folder"),
        RUN_OPTIONS["plugin"],
    ),
    _add_arguments,
)
