"""`backbones-compare`: one method on several backbones, each in an ordinary run, and a table of them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark import workers
from benchmark.cli.options import Command, resume_command
from benchmark.cli.run import INTERRUPTED, do_run, exit_status
from benchmark.config import RUN_OPTIONS, Execution, Settings, parse_methods
from benchmark.declaration import Option
from benchmark.files import MANIFEST, folder_name, refuse_foreign, remove_unfinished
from benchmark.running.request import names_in, requested_settings
from benchmark.storage.folder import folder_to_write
from methods.errors import UserError
from methods.options import split_specs

if TYPE_CHECKING:
    from benchmark.backbones.base import Backbone


def _compare_backbones(arguments: argparse.Namespace, argv: list[str]) -> int:
    specs = split_specs(arguments.backbones)
    if len({folder_name(spec).casefold() for spec in specs}) < max(2, len(specs)):
        raise UserError(f"--backbones {arguments.backbones} must be a list of two or more, each given once")
    if len(parse_methods(arguments.method)) != 1:
        raise UserError(f"--method {arguments.method} must be a single method, as clr")
    folder = folder_to_write(arguments.out, arguments.name, names_in(arguments.stream, "backbones"))
    runs = {}
    for spec in specs:
        settings, execution = requested_settings({**vars(arguments), "methods": arguments.method, "backbone": spec})
        runs[folder / folder_name(spec)] = settings
    if execution.may_start_workers:
        workers.warm_up()
    return compare_backbones(runs, execution, folder, argv, resume_command(argv, arguments, folder))


COMMAND = Command(
    "backbones-compare",
    "run one method on several backbones",
    _compare_backbones,
    (
        Option("method", required=True, metavar="SPEC", help="NAME[:option=value...]"),
        Option("backbones", required=True, metavar="LIST", help=f"comma-separated: {RUN_OPTIONS['backbone'].help}"),
        *(option for name, option in RUN_OPTIONS.items() if name not in ("methods", "backbone")),
    ),
)


def compare_backbones(
    runs: Mapping[Path, Settings], execution: Execution, folder: Path, argv: list[str], resume: str
) -> int:
    """Do the unfinished runs, one after another, and write the comparison.

    Args:
        runs: folder of each run -> its settings, of one method.
        folder: holds the runs' folders; the comparison is written there.
        argv: the command line.
        resume: the command that resumes.

    Returns:
        The exit status.

    Raises:
        UserError: a backbone or anything else cannot be used.
    """
    from benchmark.backbones import backbone_of
    from benchmark.progress.terminal import loading
    from benchmark.report.backbones import write_comparison
    from benchmark.report.text import to_text
    from benchmark.storage.folder import open_folder
    from benchmark.storage.lock import locked

    sources = {path: backbone_of(settings.backbone) for path, settings in runs.items()}
    with loading() as (note, _):
        note("loading the backbones")
        for path, settings in runs.items():
            # Check all backbones before the first one trains for hours.
            _check(settings, sources[path])
    pretraining = {path: source.pretraining for path, source in sources.items()}
    refuse_foreign(folder, f"*/{MANIFEST}")
    open_folder(folder)
    with locked(folder):
        remove_unfinished(folder)
        done = []
        for number, (path, settings) in enumerate(runs.items(), 1):
            print(f"[{number}/{len(runs)}] {settings.backbone}, pretraining: {pretraining[path]}")
            results = do_run(settings, execution, path, argv, resume)
            if results is None:
                return INTERRUPTED
            done.append((results, pretraining[path]))
            print()
        print(to_text(write_comparison(folder, done)))
    print(f"The table and the figure are in {folder}{os.sep}, each run in a folder of its own below it")
    return max(exit_status(results) for results, _ in done)


def _check(settings: Settings, source: Backbone) -> None:
    """Check that a backbone can be loaded, and that images and method suit it.

    Raises:
        UserError: they do not.
    """
    from benchmark.planning.preparation import image_size_for
    from benchmark.planning.usable import usable
    from methods.configured import configure

    image_size_for(source, settings.image_size)
    network = source.network()
    configured = [configure(spec, **settings.recipe) for spec in settings.methods]
    try:
        usable(settings, configured, network, warn=print)
    except UserError as error:
        raise UserError(f"--backbones {settings.backbone}: {error}") from error
