"""A command, and its options, which argparse gets from their declarations. This module imports nothing heavy."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmark.config import RUN_OPTIONS, check_most
from benchmark.declaration import Option
from methods.errors import UserError
from methods.paths import given_path


@dataclass(frozen=True)
class Command:
    """A command of the command line.

    Attributes:
        name: as it is written.
        help: one line.
        run: does it, given the options and the command line, and returns the exit status.
        options: that it takes.
        add_arguments: adds what has no name, as the RUN of `report RUN`.
    """

    name: str
    help: str
    run: Callable[[argparse.Namespace, list[str]], int]
    options: tuple[Option, ...] = ()
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Let a parser know this command's arguments. Those that are not given are not in what it parses."""
        self.add_arguments(parser)
        groups: dict[str, Any] = {"": parser}
        for option in self.options:
            if option.group not in groups:
                groups[option.group] = parser.add_argument_group(option.group)
            groups[option.group].add_argument(option.flag, **_argparse(option))


def _argparse(option: Option) -> dict[str, Any]:
    """What argparse is to be told of an option."""
    about: dict[str, Any] = {"dest": option.name, "default": argparse.SUPPRESS, "help": option.help}
    if option.kind is bool:
        return about | {"action": argparse.BooleanOptionalAction}
    if option.default is not None and not option.several:
        about["help"] = "; ".join(filter(None, [option.help, f"default {option.default}"]))
    about |= {"metavar": option.metavar or None, "choices": option.choices or None}
    if option.repeated:
        return about | {"action": "append"}
    return about if option.several else about | {"type": option.kind}


def reference_option(default: str) -> Option:
    """--reference of a command.

    Args:
        default: what is the reference otherwise.
    """
    option = RUN_OPTIONS["reference"]
    return replace(option, help=option.help.partition("; default")[0] + f"; default: {default}")


def check_least(arguments: argparse.Namespace, **least: int) -> None:
    """Refuse an option below its least value, or above any that it may have."""
    for option, value in least.items():
        given = getattr(arguments, option)
        if given < value:
            raise UserError(f"--{option.replace('_', '-')} {given} must be at least {value}")
        check_most(option, given)


def output_file(path: str) -> Path:
    """A file that can be written.

    Raises:
        UserError: it cannot.
    """
    out = given_path("--out", path)
    if out.is_dir():
        raise UserError(f"--out: {out} is a folder; give the name of a file")
    if not out.parent.is_dir():
        raise UserError(f"--out: there is no folder {out.parent}; make it, or write elsewhere")
    return out


def resume_command(argv: list[str], arguments: argparse.Namespace, folder: Path) -> str:
    """The command that goes on with what `argv` began in `folder`."""
    command = f"python -m benchmark {shlex.join(argv)}"
    return command if arguments.name else f"{command} --name {folder.name}"
