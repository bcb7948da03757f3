"""`reproduce`: runs a published protocol, and compares its numbers with ours."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark import workers
from benchmark.cli.options import Command, resume_command
from benchmark.cli.run import INTERRUPTED, do_run, exit_status
from benchmark.config import RUN_OPTIONS, Execution, Place, Settings, parse_seeds
from benchmark.declaration import Option, list_items, options_of
from benchmark.files import MANIFEST, refuse_foreign, remove_unfinished
from benchmark.report.text import aligned
from benchmark.running.config_file import layered
from benchmark.running.request import requested_settings
from benchmark.storage.folder import folder_to_write, open_folder
from benchmark.storage.reproduced import reproduced_in
from methods.errors import UserError
from methods.names import did_you_mean

if TYPE_CHECKING:
    # Reading a protocol needs the names of all metrics, and with them pandas.
    from benchmark.protocols.protocol import Part, Protocol

_OWN = (
    Option("data", metavar="DIR", help="the folder of the images that the protocol needs; `reproduce` lists them"),
    Option("methods", metavar="LIST", help="comma-separated: only these rows of the protocol"),
    Option("parts", metavar="LIST", help="comma-separated: only these parts of the protocol, each a run"),
    replace(
        RUN_OPTIONS["seeds"],
        default=None,
        help="how many seeds (3), or which (4,7); default: those of the protocol",
    ),
    replace(RUN_OPTIONS["device"], default=None, help="cpu, cuda, or auto: a GPU if any; default: the protocol's"),
)
#: Options of `run` that say how and where it is done.
_TAKEN = tuple(option for option in options_of(Execution, Place) if option.name != "plugin")

#: The whole run, where a protocol has several.
Runs = Mapping[Path, tuple[Settings, Execution]]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run a published protocol with its settings, and compare its numbers with ours: each with its spread, their "
        "difference with its 95 % confidence interval, and a verdict. Without NAME, list the protocols."
    )
    parser.add_argument("protocol", nargs="?", metavar="NAME", help="a protocol, or a file of your own, NAME.toml")


def _reproduce(arguments: argparse.Namespace, argv: list[str]) -> int:
    from benchmark.protocols import find_protocol

    if arguments.protocol is None:
        return _list(Path(arguments.out))
    protocol = find_protocol(arguments.protocol)
    parts = _chosen(protocol, arguments)
    folder = folder_to_write(arguments.out, arguments.name, protocol.name)
    # Without a name, a part is the whole protocol.
    runs = {folder / part.name: _requested(protocol, part, arguments) for part in parts}
    if any(execution.may_start_workers for _, execution in runs.values()):
        workers.warm_up()
    return reproduce_command(runs, folder, argv, resume_command(argv, arguments, folder))


COMMAND = Command(
    "reproduce",
    "run a published protocol, and compare its numbers with ours",
    _reproduce,
    (*_OWN, *_TAKEN),
    _add_arguments,
)


def _list(out: Path) -> int:
    """Print the protocols, and which of them have runs in a folder: returns the exit status."""
    from benchmark.protocols import find_protocol, protocol_names

    runs = reproduced_in(out)
    for name in protocol_names():
        protocol = find_protocol(name)
        needs = list(dict.fromkeys(part.data.needs for part in protocol.parts if part.data is not None))
        facts = [
            ("", "source", protocol.source),
            ("", "parts", ", ".join(part.name for part in protocol.parts if part.name)),
            ("", "rows", ", ".join(protocol.rows)),
            ("", "data", "; ".join(needs) or "none"),
            ("", "run here", ", ".join(map(str, runs.get(name, []))) or "no"),
        ]
        print(f"{name}: {protocol.title}", *aligned([fact for fact in facts if fact[2]]), sep="\n", end="\n\n")
    print("python -m benchmark reproduce NAME runs one; docs/reproduce.md says how to add one")
    return 0


def _chosen(protocol: Protocol, arguments: argparse.Namespace) -> list[Part]:
    """The parts to run, with the rows to run.

    Raises:
        UserError: there is no such part or row.
    """
    names = [part.name for part in protocol.parts if part.name]
    parts = _listed("--parts", arguments.parts, names, protocol)
    rows = frozenset(_listed("--methods", arguments.methods, protocol.rows, protocol))
    chosen = [part.only(rows) for part in protocol.parts if not part.name or part.name in parts]
    chosen = [part for part in chosen if part.methods]
    if not chosen:
        raise UserError(f"--methods {arguments.methods}: --parts {arguments.parts} have no such row; give others")
    return chosen


def _listed(option: str, asked: str | None, known: Sequence[str], protocol: Protocol) -> list[str]:
    """The names in a list; all if it was not given."""
    if asked is None:
        return list(known)
    found = list_items(asked)
    for name in found:
        if name not in known:
            valid = f"{did_you_mean(name, known)}known are {', '.join(known)}" if known else "it has no parts"
            raise UserError(f"{option} {asked}: {protocol.name} has no '{name}': {valid}")
    if not found:
        raise UserError(f"{option} names nothing; known are {', '.join(known)}")
    return found


def _requested(protocol: Protocol, part: Part, arguments: argparse.Namespace) -> tuple[Settings, Execution]:
    """The settings and the execution of a part.

    Raises:
        UserError: they cannot be used, or the data are missing.
    """
    data = part.data.folder(arguments.data, protocol.name) if part.data else ""
    if arguments.data is not None and not any(each.data for each in protocol.parts):
        raise UserError(f"--data {arguments.data}: {protocol.name} needs no data; leave the option out")
    values = layered(tuple(RUN_OPTIONS.values()), part.run_options(data))
    given = {option.name: getattr(arguments, option.name) for option in _TAKEN}
    values |= {name: value for name, value in given.items() if value != RUN_OPTIONS[name].default}
    asked = {name: getattr(arguments, name) for name in ("seeds", "device")}
    departures = tuple(_departures(part, arguments.methods, values["seeds"], asked["seeds"]))
    values |= {name: value for name, value in asked.items() if value is not None}
    try:
        settings, execution = requested_settings(values)
    except UserError as error:
        raise UserError(f"reproduce {protocol.path}: {error}") from error
    return settings, replace(execution, reproduces=protocol.published(part, departures))


def _departures(part: Part, rows: str | None, seeds: str | int | Sequence[int], asked: str | None) -> list[str]:
    """What the run does otherwise than the protocol says, a sentence each."""
    said = []
    if rows is not None:
        said.append(f"Only the rows {', '.join(part.methods)} are run.")
    if asked is not None and set(parse_seeds(asked)) != set(parse_seeds(seeds)):
        here, there = (", ".join(map(str, parse_seeds(each))) for each in (asked, seeds))
        said.append(f"The seeds are {here}, and not {there}.")
    return said


def reproduce_command(runs: Runs, folder: Path, argv: list[str], resume: str) -> int:
    """Do the unfinished runs, one after another, and compare their numbers: returns the exit status.

    Args:
        runs: folder of each run -> its settings, and how it is done.
        folder: that of the one run; or the one that holds the folders of several.
        argv: the command line.
        resume: the command that resumes.

    Raises:
        UserError: something cannot be used.
    """
    from benchmark.protocols.answers import check_methods
    from benchmark.report.reproduction import write_reproduction
    from benchmark.report.text import to_text
    from benchmark.storage.lock import check_free, locked

    for settings, execution in runs.values():
        if execution.reproduces is not None:
            check_methods(settings, execution.reproduces)
    if list(runs) == [folder]:
        if folder.is_dir():
            refuse_foreign(folder, MANIFEST)
            check_free(folder)
        results = do_run(*runs[folder], folder, argv, resume)
        return INTERRUPTED if results is None else exit_status(results)
    refuse_foreign(folder, f"*/{MANIFEST}")
    open_folder(folder)
    with locked(folder):
        remove_unfinished(folder)
        done = []
        for number, (path, (settings, execution)) in enumerate(runs.items(), 1):
            print(f"[{number}/{len(runs)}] {path.name}")
            results = do_run(settings, execution, path, argv, resume)
            if results is None:
                return INTERRUPTED
            done.append(results)
            print()
        print(to_text(write_reproduction(folder, done)))
    print(f"The table is in {folder}{os.sep}, each run in a folder of its own below it")
    return max(map(exit_status, done))
