"""`backbones-compare`: one method on several backbones, each an ordinary run, and the table that they make."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from benchmark.backbones.base import backbone_of
from benchmark.cli.commands import run_command
from benchmark.config import Execution, Settings
from benchmark.files import MANIFEST, reading, refuse_foreign, remove_unfinished
from benchmark.progress.terminal import loading
from benchmark.report.backbones import write_comparison
from benchmark.report.text import to_text
from benchmark.storage.folder import open_folder
from benchmark.storage.lock import locked


def compare_backbones(
    runs: Mapping[Path, Settings], execution: Execution, folder: Path, argv: list[str], resume: str
) -> int:
    """Do the runs that are not done, one after another, and write the comparison.

    Args:
        runs: folder of each run -> its settings, of one method.
        folder: that holds them; the comparison is written there.
        argv: the command line.
        resume: the command that goes on.

    Returns:
        The exit status.

    Raises:
        UserError: a backbone or anything else cannot be used.
    """
    sources = {path: backbone_of(settings.backbone) for path, settings in runs.items()}
    with loading() as (note, _):
        note("loading the backbones")
        for source in sources.values():
            # Before the first of them is trained on for hours.
            source.network()
    pretraining = {path: source.pretraining for path, source in sources.items()}
    refuse_foreign(folder, f"*/{MANIFEST}")
    open_folder(folder)
    with locked(folder):
        remove_unfinished(folder)
        status = 0
        for number, (path, settings) in enumerate(runs.items(), 1):
            print(f"[{number}/{len(runs)}] {settings.backbone}, pretraining: {pretraining[path]}")
            ended = run_command(settings, execution, path, argv, resume)
            if ended == 130:
                return ended
            status = max(status, ended)
            print()
        with reading(folder):
            table = write_comparison(folder, pretraining)
        print(to_text(table))
    print(f"The table and the figure are in {folder}{os.sep}, each run in a folder of its own below it")
    return status
