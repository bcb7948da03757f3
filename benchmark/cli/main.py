"""The command line. This module imports nothing heavy, so `--help` and a misspelt name are answered at once."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import NoReturn, TextIO

from benchmark.backbones import backbones
from benchmark.cli import (
    about,
    backbones_compare,
    cache,
    check,
    compare,
    cost,
    export,
    predict,
    pretrain,
    report,
    reproduce,
    run,
    tune,
    watch,
)
from benchmark.cli.options import Command
from benchmark.running.config_file import layered
from benchmark.streams import streams
from methods import methods
from methods.errors import Notice, UserError
from methods.names import printable
from methods.registry import load_plugin


class _Version(argparse.Action):
    """Looks up the version only when it is asked for, not at the start of every command."""

    def __call__(self, parser: argparse.ArgumentParser, *arguments: object, **options: object) -> None:
        try:
            version = metadata.version("continual-benchmark")
        except metadata.PackageNotFoundError:
            version = "(not installed)"
        print(f"continual-benchmark {version}")
        parser.exit()


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with a command. All that would be right is in the help."""

    def error(self, message: str) -> NoReturn:
        end = "" if message.endswith("?") else ";"
        self.exit(2, f"error: {printable(message)}{end} {self.prog} --help tells all\n")


class _Completion(argparse.Action):
    """Prints what a shell needs to complete the options of the installed command."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: object, shell: object, flag: object = None) -> None:
        import shtab

        parser.prog = "continual-benchmark"
        print(shtab.complete(parser, str(shell)))
        parser.exit()


_COMMANDS: tuple[Command, ...] = (
    *(run.COMMAND, backbones_compare.COMMAND, reproduce.COMMAND, cost.COMMAND, tune.COMMAND),
    *(watch.COMMAND, report.COMMAND, compare.COMMAND, predict.COMMAND, export.COMMAND),
    *about.COMMANDS,
    *(check.COMMAND, cache.COMMAND, pretrain.COMMAND),
)


def main(argv: list[str] | None = None) -> int:
    """Run a command.

    Returns:
        0: all went well; 1: a method failed, the others are in the tables; 2: the input cannot be used; 130: Ctrl-C.
    """
    argv = sys.argv[1:] if argv is None else argv
    try:
        with _notices_as_lines():
            return _run(argv)
    except UserError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _run(argv: list[str]) -> int:
    arguments = parse(argv)
    for registry in (methods, streams, backbones):
        for complaint in registry.complaints():
            _warn(complaint)
    for path in getattr(arguments, "plugin", ()):
        load_plugin(path)
    return int(arguments.command.run(arguments, argv))


def _warn(text: str) -> None:
    print(f"warning: {printable(text)}", file=sys.stderr)


@contextmanager
def _notices_as_lines() -> Iterator[None]:
    """Warnings of this program are lines for the user. Those of other packages keep the place that they come from."""
    others = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, Notice):
            _warn(str(message))
        else:
            others(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = others


def parse(argv: list[str]) -> argparse.Namespace:
    """The options of a command line; those that are not given come from files, presets and defaults.

    Args:
        argv: without the program's name.

    Raises:
        UserError: an argument is not text (it could not be printed or written), or the file of --config cannot be used.
    """
    for text in argv:
        if not text.isprintable() and ("\0" in text or text != text.encode(errors="replace").decode()):
            raise UserError(f"{ascii(text)[1:-1]} is not text in UTF-8 without NUL characters; write or rename it so")
    parser = _Parser(
        prog="python -m benchmark",
        description="Compare continual-learning methods on one stream of tasks: what each keeps, and what each costs.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version of this program, and end")
    parser.add_argument(
        "--print-completion",
        action=_Completion,
        choices=("bash", "zsh", "tcsh"),
        help="print a script with which a shell completes continual-benchmark, and end",
    )
    adder = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    parsers = {command.name: adder.add_parser(command.name, help=command.help) for command in _COMMANDS}
    for command in _COMMANDS:
        command.add_to(parsers[command.name])
        parsers[command.name].set_defaults(command=command)
    known, unknown = parser.parse_known_args(argv)
    given = vars(known)
    chosen: Command = given["command"]
    if unknown:
        advice = chosen.advice(unknown)
        parsers[chosen.name].error(f"unrecognized arguments: {' '.join(unknown)}{': ' * bool(advice)}{advice}")
    values = layered(chosen.options, given)
    missing = [option.flag for option in chosen.options if option.required and values[option.name] is None]
    if missing:
        parsers[chosen.name].error(f"the following arguments are required: {', '.join(missing)}")
    return argparse.Namespace(**values)
