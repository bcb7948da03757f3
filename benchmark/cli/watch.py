"""`watch`: shows how far a run is, from its folder alone."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from benchmark.cli.options import Command
from benchmark.cli.run import INTERRUPTED
from benchmark.storage.folder import RunFolder, run_folder
from methods.errors import UserError

if TYPE_CHECKING:
    from benchmark.results.under_way import UnderWay, Watched

# The seconds between two looks, and after how many looks in a row that fail it gives up.
_EVERY, _PATIENCE = 3, 5


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's folder, or its name in results/")


def _watch(arguments: argparse.Namespace, argv: list[str]) -> int:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from benchmark.report.under_way import lines_of
    from benchmark.results.under_way import Watched

    watched = Watched(RunFolder(run_folder("watch", arguments.run)))
    view = _seen(watched)
    if not sys.stdout.isatty() or not view.goes_on:
        print(*lines_of(view), sep="\n")
        return 0
    console = Console(file=sys.stdout)

    def shown(view: UnderWay) -> Text:
        # As Text, neither [red] nor :smile: has a special meaning.
        return Text("\n".join(lines_of(view, console.height - 1)), no_wrap=True, overflow="ellipsis")

    try:
        with Live(shown(view), console=console, auto_refresh=False) as live:
            while view.goes_on:
                time.sleep(_EVERY)
                view = _seen(watched, _PATIENCE)
                live.update(shown(view), refresh=True)
    except KeyboardInterrupt:
        # The run goes on: nothing else was interrupted.
        return INTERRUPTED
    return 0


def _seen(watched: Watched, patience: int = 1) -> UnderWay:
    """Look at the run, again if something cannot be read: on a shared file system it may be there a moment later.

    Raises:
        UserError: the folder holds no run, or cannot be read.
    """
    for left in range(patience - 1, -1, -1):
        try:
            return watched.look(time.time())
        except UserError:
            if not left:
                raise
        except OSError as error:
            if not left:
                raise UserError(f"watch: {error.filename} cannot be read ({error.strerror or error})") from error
        time.sleep(_EVERY)
    raise AssertionError("the last look returns or raises")


COMMAND = Command("watch", "show how far a run is, from its folder alone", _watch, (), _add_arguments)
